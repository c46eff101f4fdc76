"""docs/operations.md says what is so."""

import re

import pytest
from egiz_infra.limits import Load, derive
from rig.servers import REPOSITORY

TEXT = (REPOSITORY / "docs/operations.md").read_text()
SIZES = re.findall(
    r"^\| ([\d,]+) \| ([\d,]+) \| (\d+) s \| (\d+) \| (\d+) MB \|$", TEXT, re.MULTILINE
)


def test_there_are_sizes():
    assert len(SIZES) == 5


@pytest.mark.parametrize("row", SIZES, ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_size_is_what_the_calculator_says(row):
    clients, rate, outage, queued, memory = (int(x.replace(",", "")) for x in row)
    found = derive(Load(rate=rate, clients=clients, outage=outage))
    assert found.max_queued_messages == queued
    assert round(found.memory / 1e6) == memory


def test_the_shipped_configuration_is_one_of_them():
    shipped = (REPOSITORY / "infra/mosquitto/mosquitto.conf").read_text()
    (queued,) = re.findall(r"^max_queued_messages (\d+)$", shipped, re.MULTILINE)
    assert SIZES[2][3] == queued


def test_the_commands_of_egiz_infra_exist():
    from egiz_infra.cli import main  # noqa: PLC0415  # only this test needs it

    told = set(re.findall(r"(?:egiz-infra|run --rm admin) ([a-z]+)", TEXT))
    assert told >= {"issue", "apply", "renew", "revoke", "list", "account", "limits"}
    assert told <= set(main.commands)


def test_each_open_question_of_the_prd_is_answered():
    _, _, answers = TEXT.partition("## The open questions of the PRD\n")
    assert len(re.findall(r"^\d\. \*\*", answers, re.MULTILINE)) == 6
