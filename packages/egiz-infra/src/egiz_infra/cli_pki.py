"""The commands of the authority."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from egiz_infra.apply import write_files
from egiz_infra.authority import (
    Authority,
    Subject,
    create,
    new_key,
    pem_of,
    pem_of_key,
)
from egiz_infra.cli_shared import Target, pass_layout, told, with_target
from egiz_infra.enrol import issue as issue_pair
from egiz_infra.enrol import issue_for
from egiz_infra.layout import Layout, write
from egiz_infra.register import Issued, expiring, good_ones, issued
from egiz_infra.revoke import revoke as revoke_all

EXIT_EXPIRING = 3

_days = click.option(
    "--days",
    default=730,
    show_default=True,
    type=click.IntRange(1),
    help="For how long it is good; never longer than the authority.",
)
_facility = click.option(
    "--facility", default="factory", show_default=True, help="Where it stands."
)
_request = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--name", default="OpenEgiz", show_default=True, help="Of the authority.")
@pass_layout
@told
def init(layout: Layout, name: str) -> None:
    """Make a certificate authority, and the broker's first files.

    Its key, pki/ca.key, is the key to the factory: keep a copy off this machine.
    """
    write_files(create(layout, name))
    layout.broker.chmod(0o750)
    click.echo(f"{layout.pki / 'ca.key'}: keep a copy of it off this machine")


@click.group()
def issue() -> None:
    """Make a key and a certificate."""


@issue.command("broker")
@click.argument("name")
@click.option("--address", multiple=True, help="Another name or IP; repeatable.")
@_days
@pass_layout
@told
def issue_broker(
    layout: Layout, name: str, address: tuple[str, ...], days: int
) -> None:
    """For the broker NAME; it is put where the broker reads it.

    Clients check the name by which they connect: give every one that they use.
    """
    with layout.locked():
        subject = Subject("broker", name, addresses=(name, *address))
        _install_broker(Authority(layout), subject, days)
    click.echo(f"{layout.broker / 'broker.pem'}: taken at the next start, or `apply`")


@issue.command("service")
@click.argument("name")
@_days
@pass_layout
@told
def issue_service(layout: Layout, name: str, days: int) -> None:
    """For the service NAME, which the access list has as a role; in PEM."""
    with layout.locked():
        subject = Subject("service", name)
        made = issue_pair(Authority(layout), subject, timedelta(days))
    click.echo(f"{made}: key.pem, certificate.pem, ca.pem")


@issue.command("device")
@click.argument("names", nargs=-1, required=True, metavar="DEVICE_ID...")
@_facility
@_days
@pass_layout
@told
def issue_device(
    layout: Layout, names: tuple[str, ...], facility: str, days: int
) -> None:
    """For devices; in DER. Delete the key here once the device has it."""
    with layout.locked():
        authority = Authority(layout)
        for name in names:
            subject = Subject("device", name, facility)
            made = issue_pair(authority, subject, timedelta(days))
            click.echo(f"{made}: key.der, certificate.der, ca.der")
    _remind()


@click.command()
@click.argument("name", metavar="DEVICE_ID")
@click.argument("request", type=_request)
@_facility
@_days
@pass_layout
@told
def sign(layout: Layout, name: str, request: Path, facility: str, days: int) -> None:
    """Sign a device's own certificate REQUEST (PKCS #10, PEM or DER).

    Its private key never leaves the device. Name, facility and purpose are taken from
    here, not from the request.
    """
    with layout.locked():
        subject = Subject("device", name, facility)
        authority = Authority(layout)
        made = issue_for(authority, subject, request, timedelta(days))
    click.echo(f"{made}: certificate.der, ca.der")
    _remind()


@click.command()
@click.argument("name")
@click.option("--request", type=_request, help="For the device's own new key.")
@_days
@pass_layout
@told
def renew(layout: Layout, name: str, request: Path | None, days: int) -> None:
    """Make a new key and certificate for NAME; the old one stays good until it expires.

    So a device is given the new one in its own time, and the broker needs no reload. A
    broker takes its own with `egiz-infra apply`, and nobody is disconnected.
    """
    with layout.locked():
        authority = Authority(layout)
        subject = good_ones(authority, name)[-1].subject
        if subject.kind == "broker":
            _install_broker(authority, subject, days)
            made = layout.broker
        elif request:
            made = issue_for(authority, subject, request, timedelta(days))
        else:
            made = issue_pair(authority, subject, timedelta(days))
    click.echo(f"{made}: renewed")


@click.command()
@click.argument("name")
@with_target
@pass_layout
@told
def revoke(layout: Layout, target: Target, name: str) -> None:
    """Take back every certificate of NAME, end its connection, and prove both.

    If the broker could not be reached, or did not do as it should, do it again.

    \b
    Exit codes: 0 it is out, 1 it may not be.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    begun = time.monotonic()

    def tell(what: str) -> None:
        click.echo(f"{time.monotonic() - begun:6.2f} s  {what}")

    with layout.locked():
        running = target.running(layout)
        revoke_all(Authority(layout), running, name, tell)


@click.command("list")
@click.option(
    "--within",
    default=30,
    show_default=True,
    type=click.IntRange(0),
    help="Days: what expires sooner is marked, and is the exit code.",
)
@click.option("--json", "as_json", is_flag=True, help="One object a line, for scripts.")
@pass_layout
@told
def list_(layout: Layout, within: int, as_json: bool) -> None:
    """List certificates, with the days that are left.

    \b
    Exit codes: 0 all is well, 1 there is no authority, 3 one expires soon and is not
    renewed.
    """  # noqa: D301  # as above
    everything = issued(Authority(layout))
    soon = expiring(everything, timedelta(within))
    for one in everything:
        click.echo(_as_json(one) if as_json else _as_line(one, one in soon))
    if soon:
        raise SystemExit(EXIT_EXPIRING)


def _install_broker(authority: Authority, subject: Subject, days: int) -> None:
    key = new_key()
    certificate = authority.issue(subject, key.public_key(), timedelta(days))
    layout = authority.layout
    write(layout.broker / "broker.key", pem_of_key(key))
    write(layout.broker / "broker.pem", pem_of(certificate))


def _days_left(one: Issued) -> int:
    return (one.until - datetime.now(UTC)).days


def _as_line(one: Issued, is_soon: bool) -> str:
    subject = one.subject
    state = "EXPIRES SOON" if is_soon else one.state
    return (
        f"{subject.name:32} {subject.kind:8} {subject.facility:16} {one.until:%Y-%m-%d}"
        f" {_days_left(one):6} days  {state}"
    )


def _as_json(one: Issued) -> str:
    fields = {
        "name": one.subject.name,
        "kind": one.subject.kind,
        "facility": one.subject.facility,
        "until": one.until.isoformat(),
        "days_left": _days_left(one),
        "state": one.state,
        "serial": f"{one.certificate.serial_number:x}",
    }
    return json.dumps(fields)


def _remind() -> None:
    click.echo("The broker knows it after `egiz-infra apply`.", err=True)


COMMANDS = (init, issue, sign, renew, revoke, list_)
