"""The command that says which devices still need TLS 1.2."""

from pathlib import Path

import click
from egiz_cli import DONE, FAILED, OutputFile, command

from egiz_infra.authority import Authority
from egiz_infra.cli_shared import pass_layout, translate_errors, write_readable
from egiz_infra.layout import Layout
from egiz_infra.tls_versions import log_lines, versions
from egiz_infra.tls_versions import metrics as text_of


@command(
    exit_codes={
        DONE: "the log was read",
        FAILED: "there is no authority, or the log cannot be read",
    }
)
@click.option(
    "--log",
    envvar="EGIZ_LOG",
    default="journalctl --unit mosquitto --output cat --quiet --since=-30d",
    show_default=True,
    show_envvar=True,
    help="Command that prints the log of the broker.",
)
@click.option(
    "--to",
    "target",
    type=OutputFile(),
    metavar="FILE",
    help="Write how many there are into FILE, for the text files of node-exporter.",
)
@pass_layout
@translate_errors
def tls_versions(layout: Layout, log: str, target: Path | None) -> None:
    """List the version of TLS that each device speaks.

    It is that of its last connection in the log of the broker. Mosquitto names it from
    2.1 on; with 2.0, and of a device that is not in the log, it is unknown. When no
    device is left with 1.2 or unknown, 1.2 can be turned off.

    \b
      egiz-infra tls-versions
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    found = versions(Authority(layout), log_lines(log))
    if target is not None:
        write_readable(target, text_of(found))
        return
    for name, version in sorted(found.items()):
        click.echo(f"{name:32} {version}")


COMMANDS = (tls_versions,)
