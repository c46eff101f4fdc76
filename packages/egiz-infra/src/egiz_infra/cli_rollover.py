"""The commands that replace the authority."""

from datetime import timedelta

import click
from egiz_cli import FAILED, group

from egiz_infra.apply import write_files
from egiz_infra.cli_shared import check_name, days_option, pass_layout, translate_errors
from egiz_infra.layout import Layout
from egiz_infra.register import not_moved
from egiz_infra.rollover import finish as finish_it
from egiz_infra.rollover import start as start_it

_RESTART = "Now restart the broker, and then: egiz-infra apply"


@group()
def rollover() -> None:
    """Replace the authority while all devices stay connected.

    \b
      egiz-infra rollover start --name 'OpenEgiz 2'
      systemctl restart mosquitto && egiz-infra apply
      egiz-infra renew oven-001       (each device, on any day; see `list`)
      egiz-infra rollover finish
      systemctl restart mosquitto && egiz-infra apply
    """  # noqa: D301  # \b is click's mark for lines that stay as they are


@rollover.command(exit_codes={FAILED: "nothing has changed, or it must be repeated"})
@click.option(
    "--name", required=True, callback=check_name, help="Name of the new authority."
)
@days_option
@pass_layout
@translate_errors
def start(layout: Layout, name: str, days: int) -> None:
    """Make a new authority; the broker trusts both.

    The broker gets a certificate of the new one, which devices of both accept. What is
    issued or renewed from now on is of the new one. The broker reads whom it trusts
    only when it starts.

    \b
      egiz-infra rollover start --name 'OpenEgiz 2'
    """  # noqa: D301  # as above
    with layout.locked():
        authority = start_it(layout, name, timedelta(days))
        write_files(authority)
        count = len(not_moved(authority))
    click.echo(f"{authority.name}: made; {count} certificates are of the former one")
    click.echo(_RESTART, err=True)


@rollover.command(exit_codes={FAILED: "somebody is not moved yet; nothing has changed"})
@click.option(
    "--leave", is_flag=True, help="Also if somebody is not moved: it is shut out."
)
@pass_layout
@translate_errors
def finish(layout: Layout, leave: bool) -> None:
    """Trust the former authority no longer; its key is deleted.

    A device that has not got its new certificate by then is refused.

    \b
      egiz-infra rollover finish
    """  # noqa: D301  # as above
    with layout.locked():
        authority = finish_it(layout, leave=leave)
    click.echo(f"only {authority.name} is trusted")
    click.echo(_RESTART, err=True)


COMMANDS = (rollover,)
