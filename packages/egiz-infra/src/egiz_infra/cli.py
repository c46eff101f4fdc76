"""The command `egiz-infra`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from egiz_cli import DONE, FAILED, Program, Real

from egiz_infra import __version__
from egiz_infra.accounts import give_role, remove, set_password
from egiz_infra.acl import compile_acl
from egiz_infra.apply import apply as apply_files
from egiz_infra.apply import listed, write_files
from egiz_infra.authority import Authority
from egiz_infra.cli_backup import COMMANDS as OF_BACKUP
from egiz_infra.cli_expiry import COMMANDS as OF_EXPIRY
from egiz_infra.cli_pki import COMMANDS as OF_THE_AUTHORITY
from egiz_infra.cli_rollover import COMMANDS as OF_ROLLOVER
from egiz_infra.cli_shared import Target, pass_layout, translate_errors, with_target
from egiz_infra.cli_tls_versions import COMMANDS as OF_TLS_VERSIONS
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout
from egiz_infra.limits import Load, derive
from egiz_infra.register import devices, issued

_MEMORY_BUDGET = 512_000_000
_SHIPPED = Load()


@click.group("egiz-infra", cls=Program, version=__version__)
@click.option(
    "--directory",
    envvar="EGIZ_DIRECTORY",
    default="/etc/egiz",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the authority, the secrets and the broker's files.",
)
@click.pass_context
def main(context: click.Context, directory: Path) -> None:
    """Manage the broker: certificates, accounts, access list, limits.

    \b
    From an empty directory to a broker, a service and a device:
      egiz-infra init
      egiz-infra issue broker broker.factory --address 10.20.0.5
      egiz-infra account bridge
      egiz-infra issue device oven-001
      systemctl start mosquitto        (with infra/mosquitto; see its README)
    \b
    Whenever certificates or accounts have changed, give them to the broker:
      egiz-infra apply
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    context.obj = Layout(directory)


for _command in (
    *OF_THE_AUTHORITY,
    *OF_ROLLOVER,
    *OF_EXPIRY,
    *OF_TLS_VERSIONS,
    *OF_BACKUP,
):
    main.add_command(_command)


@main.command(exit_codes={FAILED: "there is no such role, account or authority"})
@click.argument("name")
@click.option("--role", help="What it may do, if it is not named for its role.")
@click.option(
    "--keep-password", is_flag=True, help="With --role: mosquitto_passwd made it."
)
@click.option("--remove", "is_removed", is_flag=True, help="Remove it instead.")
@pass_layout
@translate_errors
def account(
    layout: Layout, name: str, role: str | None, keep_password: bool, is_removed: bool
) -> None:
    """Give the account NAME a new password.

    NAME is a role of the access list (see `egiz-infra acl`). An account is used by one
    program at a time, so a second one of the same role has a number, as bridge2.
    Another name needs a --role, also one that mosquitto_passwd made.

    The password is written to secrets/NAME, which only its owner may read, and is never
    printed. The broker accepts it after `egiz-infra apply`.

    \b
      egiz-infra account bridge
      egiz-infra account node-red --role operator
    """  # noqa: D301  # as above
    if (is_removed and (role or keep_password)) or (keep_password and not role):
        raise click.UsageError("--keep-password needs --role, and --remove is alone")
    with layout.locked() as removed:
        # Done by now, if it was this command that was interrupted.
        if is_removed and layout.secrets / name not in removed:
            remove(layout, name)
        if role:
            give_role(layout, name, role)
        if not (is_removed or keep_password):
            set_password(layout, name)
    what = "removed" if is_removed else f"its password is in {layout.secrets / name}"
    if keep_password:
        what = f"its role is {role}"
    click.echo(f"{name}: {what}; `egiz-infra apply` gives that to the broker")


@main.command()
@pass_layout
@translate_errors
def acl(layout: Layout) -> None:
    """Print the access list: its roles, and the devices.

    Only devices with a valid certificate are in it.

    \b
      egiz-infra acl > acl
    """  # noqa: D301  # as above
    has_authority = layout.pki.exists()
    text = listed(Authority(layout)) if has_authority else compile_acl({})
    click.echo(text, nl=False)


@main.command(
    exit_codes={DONE: "they are in force", FAILED: "they are not; do it again"}
)
@with_target
@click.option(
    "--files-only",
    is_flag=True,
    help="The broker does not run yet: write its files, reload and probe nothing.",
)
@pass_layout
@translate_errors
def apply(layout: Layout, target: Target, files_only: bool) -> None:
    """Give the broker its access list, accounts and revocations.

    Another Mosquitto checks the list; then it is replaced in one step and reloaded.
    Last, something is tried that must be denied, because Mosquitto 2.0.11 runs without
    a list if it cannot read it. If that is allowed, the former list is restored.

    \b
      egiz-infra apply
      egiz-infra apply --reload 'docker compose kill -s HUP mosquitto'
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
    kind = click.IntRange(1, 10**12) if is_whole else Real(0, min_open=True)
    return click.option(
        name, default=default, show_default=True, type=kind, help=meaning
    )


@main.command(exit_codes={DONE: "they fit", FAILED: "they would need more than 512 MB"})
@_quantity("--rate", _SHIPPED.rate, "Messages a second, of all devices.")
@_quantity("--payload", _SHIPPED.payload, "Bytes of a message.")
@_quantity("--outage", _SHIPPED.outage, "Seconds that a subscriber may be away.")
@_quantity("--clients", _SHIPPED.clients, "Devices.")
@_quantity(
    "--ack-delay", _SHIPPED.ack_delay, "Seconds until a message is acknowledged."
)
@translate_errors
def limits(
    rate: int, payload: int, outage: int, clients: int, ack_delay: float
) -> None:
    """Derive the broker's limits from the load that is expected.

    The defaults are those of the shipped configuration. The broker keeps messages for
    the minutes in which the bridge is stopped; for hours without a database, the bridge
    has a spool of its own.

    LimitNOFILE bounds the connections, also those that stop in the middle of TLS: each
    takes memory, and needs no certificate. In compose these are ulimits and mem_limit.

    \b
      egiz-infra limits --rate 2000 --outage 120
    """  # noqa: D301  # as above
    load = Load(rate, payload, outage, clients, ack_delay)
    try:
        found = derive(load)
    except ValueError as error:
        raise InfraError(str(error)) from None
    click.echo(found.as_configuration(), nl=False)
    click.echo(f"# memory, at most: {found.memory / 1e6:.0f} MB", err=True)
    click.echo(f"# mosquitto.service, [Service]: {found.as_service()}", err=True)
    if found.memory > _MEMORY_BUDGET:
        raise InfraError(
            "that is more than 512 MB: make the outage shorter; for the database's"
            " outages there is the spool of egiz-bridge"
        )
