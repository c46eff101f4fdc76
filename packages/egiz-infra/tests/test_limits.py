"""`egiz-infra limits`: the limits of the broker for other loads."""

import pytest
from click.testing import CliRunner
from egiz_infra.cli import main


@pytest.mark.parametrize(
    ("options", "code", "output"),
    [
        ("--rate 1000 --outage 320", 0, "max_queued_messages 400000"),
        ("--rate 100 --payload 254 --outage 30", 0, "max_inflight_messages 200\n"),
        ("--outage 100", 1, "more than 512 MB"),
        ("--ack-delay 10", 1, "divide the load by facility"),
        ("--rate 0", 2, "--rate"),
    ],
)
def test_limits_are_derived_from_the_load_or_refused(options, code, output):
    done = CliRunner().invoke(main, ["limits", *options.split()])
    assert done.exit_code == code
    assert output in done.output
