"""The commands that back up a machine, and try a backup."""

from pathlib import Path

import click
from egiz_cli import DONE, FAILED, command

from egiz_infra.backup import Kept, back_up
from egiz_infra.cli_shared import pass_layout, translate_errors
from egiz_infra.drill import drill as drill_it
from egiz_infra.layout import Layout

_directory = click.Path(path_type=Path, file_okay=False)


@command(exit_codes={DONE: "it is complete", FAILED: "there is none"})
@click.argument("target", type=_directory)
@click.option(
    "--data",
    envvar="EGIZ_DATA",
    default="/var/lib",
    show_default=True,
    show_envvar=True,
    type=_directory,
    help="Directory with those of InfluxDB 1, egiz-bridge and Mosquitto.",
)
@click.option(
    "--save-broker",
    envvar="EGIZ_SAVE_BROKER",
    default="systemctl kill --signal USR1 mosquitto",
    show_default=True,
    show_envvar=True,
    help="Command that makes the broker write its file.",
)
@pass_layout
@translate_errors
def backup(layout: Layout, target: Path, data: Path, save_broker: str) -> None:
    """Back up this machine into the new directory TARGET.

    Nothing stops. It has /etc/egiz with the key of the authority, the files of InfluxDB
    1, the spool and archive of the bridge, and what the broker keeps: an archive each,
    which only you can read. `egiz-infra drill` tries it.

    \b
      egiz-infra backup /mnt/backup/monday
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    back_up(Kept(layout.root, data, save_broker), target, click.echo)


@command(exit_codes={DONE: "it can be restored", FAILED: "it cannot"})
@click.argument("source", type=_directory)
@translate_errors
def drill(source: Path) -> None:
    """Restore the backup in SOURCE elsewhere, and count.

    In a scratch directory; InfluxDB and Mosquitto are started on the copies, as root in
    a network of their own;
    what runs here is not touched. There must be room for the backup in TMPDIR.

    \b
      egiz-infra drill /mnt/backup/monday
    """  # noqa: D301  # as above
    drill_it(source, lambda name, count: click.echo(f"{count:12,}  {name}"))


COMMANDS = (backup, drill)
