"""The command that says to Prometheus when certificates expire."""

from pathlib import Path

import click
from egiz_cli import DONE, FAILED, OutputFile, command

from egiz_infra.authority import Authority
from egiz_infra.cli_shared import pass_layout, translate_errors, write_readable
from egiz_infra.expiry import metrics as text_of
from egiz_infra.layout import Layout


@command(
    exit_codes={
        DONE: "all were read",
        FAILED: "there is no authority, or a file is bad",
    }
)
@click.option(
    "--to",
    "target",
    type=OutputFile(),
    metavar="FILE",
    help="Replace FILE in one step, for the text files of node-exporter.",
)
@pass_layout
@translate_errors
def metrics(layout: Layout, target: Path | None) -> None:
    """Print when certificates expire, as metrics for Prometheus.

    It has the newest certificate of each device, service and broker that is not
    revoked, expired or not, and the authority. egiz-certificates.timer runs it each
    hour.

    \b
      egiz-infra metrics
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    text = text_of(Authority(layout))
    if target is None:
        click.echo(text, nl=False)
    else:
        write_readable(target, text)


COMMANDS = (metrics,)
