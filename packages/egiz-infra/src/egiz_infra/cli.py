"""The command `egiz-infra`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from egiz_infra.accounts import set_password
from egiz_infra.acl import compile_acl
from egiz_infra.apply import apply as apply_files
from egiz_infra.apply import listed, write_files
from egiz_infra.authority import Authority
from egiz_infra.cli_pki import COMMANDS
from egiz_infra.cli_shared import Target, pass_layout, told, with_target
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout
from egiz_infra.limits import Load, derive
from egiz_infra.register import devices, issued

_MEMORY_BUDGET = 512_000_000
_SHIPPED = Load()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="egiz-infra")
@click.option(
    "--directory",
    envvar="EGIZ_DIRECTORY",
    default="/etc/egiz",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where authority, secrets and the broker's files are.",
)
@click.pass_context
def main(context: click.Context, directory: Path) -> None:
    """Look after the broker: certificates, accounts, access list, limits.

    \b
    A broker, a service and a device, from nothing:
      egiz-infra init
      egiz-infra issue broker broker.factory --address 10.20.0.5
      egiz-infra account bridge
      egiz-infra issue device oven-001
      systemctl start mosquitto        (with infra/mosquitto; see its README)
    \b
    Afterwards, what changes certificates or accounts is brought to the broker by
      egiz-infra apply
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    context.obj = Layout(directory)


for _command in COMMANDS:
    main.add_command(_command)


@main.command()
@click.argument("name")
@pass_layout
@told
def account(layout: Layout, name: str) -> None:
    """Give the account NAME a new password.

    NAME is a role of the access list (see `egiz-infra acl`). An account is used by one
    program at a time, so a second one of the same role has a number, as bridge2.

    It lies in secrets/NAME, which only its owner may read, and is never shown. The
    broker takes it with `egiz-infra apply`.
    """
    with layout.locked():
        set_password(layout, name)
    click.echo(f"{layout.secrets / name}: made; the broker takes it with `apply`")


@main.command()
@pass_layout
@told
def acl(layout: Layout) -> None:
    """Print the access list: roles, and each device with a good certificate."""
    has_authority = layout.pki.exists()
    text = listed(Authority(layout)) if has_authority else compile_acl({})
    click.echo(text, nl=False)


@main.command()
@with_target
@click.option(
    "--files-only",
    is_flag=True,
    help="The broker does not run yet: write its files, reload and probe nothing.",
)
@pass_layout
@told
def apply(layout: Layout, target: Target, files_only: bool) -> None:
    """Give the broker its access list, accounts and revocations, and probe it.

    The list is checked by another Mosquitto, replaced in one step and reloaded. Then
    something is tried that must be denied: 2.0.11 runs without a list if it cannot read
    it. If it is allowed, the former list is put back.

    \b
    Exit codes: 0 it is in force, 1 it is not.
    """  # noqa: D301  # as above
    with layout.locked():
        authority = Authority(layout)
        if files_only:
            write_files(authority)
        else:
            apply_files(authority, target.running(layout))
        count = len(devices(issued(authority)))
    click.echo(f"{'written' if files_only else 'in force'}: {count} devices")


def _quantity(name: str, default: float, meaning: str) -> Callable[..., Any]:
    is_whole = isinstance(default, int)
    kind = click.IntRange(1) if is_whole else click.FloatRange(0, min_open=True)
    return click.option(
        name, default=default, show_default=True, type=kind, help=meaning
    )


@main.command()
@_quantity("--rate", _SHIPPED.rate, "Messages a second, of all devices.")
@_quantity("--payload", _SHIPPED.payload, "Bytes of a message.")
@_quantity("--outage", _SHIPPED.outage, "Seconds that a subscriber may be away.")
@_quantity("--clients", _SHIPPED.clients, "Devices.")
@_quantity("--ack-delay", _SHIPPED.ack_delay, "Seconds until one is acknowledged.")
@told
def limits(
    rate: int, payload: int, outage: int, clients: int, ack_delay: float
) -> None:
    """Derive the broker's limits; the defaults are the shipped configuration.

    The bridge's own spool carries outages of the database, for hours. This is for the
    minutes in which the bridge itself is away.

    \b
    Exit codes: 0 it fits, 1 it would need more than 512 MB, 2 wrong usage.
    """  # noqa: D301  # as above
    load = Load(rate, payload, outage, clients, ack_delay)
    try:
        found = derive(load)
    except ValueError as fault:
        raise InfraError(str(fault)) from None
    click.echo(found.as_configuration(), nl=False)
    click.echo(f"# memory, at most: {found.memory / 1e6:.0f} MB", err=True)
    if found.memory > _MEMORY_BUDGET:
        raise InfraError(
            "that is more than 512 MB: make the outage shorter; for the database's"
            " outages there is the spool of egiz-bridge"
        )
