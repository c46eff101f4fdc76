"""The commands of the authority."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from egiz_cli import DONE, FAILED, InputFile, command, group

from egiz_infra.apply import write_files
from egiz_infra.authority import Authority, Subject, create
from egiz_infra.cli_shared import (
    DAYS_MAX,
    Target,
    check_host,
    check_name,
    days_option,
    pass_layout,
    translate_errors,
    with_target,
)
from egiz_infra.device_settings import FILE as SETTINGS
from egiz_infra.device_settings import read_shared, settings_of
from egiz_infra.enrol import check, issue_for
from egiz_infra.enrol import issue as issue_pair
from egiz_infra.enrol import issue_broker as issue_broker_pair
from egiz_infra.layout import Layout
from egiz_infra.register import Issued, current, expiring, issued, newest
from egiz_infra.revoke import revoke as revoke_all

_NOT_DONE = {FAILED: "it was not possible; the reason is printed"}

_facility = click.option(
    "--facility", default="factory", show_default=True, help="The place of the device."
)


_request = InputFile(exists=True, dir_okay=False)
_settings = click.option(
    "--settings",
    type=InputFile(exists=True, dir_okay=False),
    help="JSON that all devices share: broker, wifi_ssid, wifi_password; others, too.",
)


@command(exit_codes=_NOT_DONE)
@click.option(
    "--name",
    default="OpenEgiz",
    show_default=True,
    help="Name of the authority.",
    callback=check_name,
)
@pass_layout
@translate_errors
def init(layout: Layout, name: str) -> None:
    """Make a certificate authority, and the broker's first files.

    Whoever has its key, pki/ca.key, can pretend to be any device: keep a copy off this
    machine, where it is safe.

    \b
      egiz-infra --directory /etc/egiz init
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    layout.create()
    layout.broker.chmod(0o750)
    write_files(_interrupted(layout, name) or create(layout, name))
    click.echo(f"{layout.pki / 'ca.key'}: keep a copy of it off this machine")


def _interrupted(layout: Layout, name: str) -> Authority | None:
    """The authority of that name, if `init` was killed before the last file."""
    if (layout.broker / "acl").exists() or not (layout.pki / "ca.key").exists():
        return None
    found = Authority(layout)
    return found if found.name == name else None


@group()
def issue() -> None:
    """Make a key and a certificate.

    \b
      egiz-infra issue broker broker.factory --address 10.20.0.5
      egiz-infra issue service telegraf
      egiz-infra issue device oven-001 oven-002 --facility bakery
    """  # noqa: D301  # as above


@issue.command("broker", exit_codes=_NOT_DONE)
@click.argument("name", callback=check_host)
@click.option(
    "--address",
    multiple=True,
    callback=check_host,
    help="Another name or IP; repeatable.",
)
@days_option
@pass_layout
@translate_errors
def issue_broker(
    layout: Layout, name: str, address: tuple[str, ...], days: int
) -> None:
    """Make them for the broker NAME, where the broker reads them.

    Clients check the name by which they connect: give every name that they use.
    """
    with layout.locked():
        subject = Subject("broker", name, addresses=(name, *address))
        issue_broker_pair(Authority(layout), subject, timedelta(days))
    when = "the broker reads it when it starts, or after `egiz-infra apply`"
    click.echo(f"{layout.broker / 'broker.pem'}: {when}")


@issue.command("service", exit_codes=_NOT_DONE)
@click.argument("name", callback=check_name)
@days_option
@pass_layout
@translate_errors
def issue_service(layout: Layout, name: str, days: int) -> None:
    """Make them for the service NAME, a role of the access list; in PEM."""
    with layout.locked():
        subject = Subject("service", name)
        made = issue_pair(Authority(layout), subject, timedelta(days))
    click.echo(f"{made}: key.pem, certificate.pem, ca.pem")


@issue.command("device", exit_codes=_NOT_DONE)
@click.argument("names", nargs=-1, required=True, metavar="DEVICE_ID...")
@_facility
@_settings
@days_option
@pass_layout
@translate_errors
def issue_device(
    layout: Layout,
    names: tuple[str, ...],
    facility: str,
    settings: Path | None,
    days: int,
) -> None:
    """Make them for devices, in DER.

    With --settings, issued/DEVICE_ID/settings.json is made, too: the shared settings
    with the identity of the device and the names of the files beside it.
    `egiz-edge deploy --settings` copies all of them to the board.

    Delete the key here once the device has it.

    \b
      egiz-infra issue device oven-001 oven-002 --settings shared.json
      egiz-edge deploy --settings /etc/egiz/issued/oven-001/settings.json
    """  # noqa: D301  # as above
    shared = read_shared(settings) if settings else None
    with layout.locked():
        authority = Authority(layout)
        subjects = [Subject("device", name, facility) for name in names]
        for subject in subjects:
            check(subject)  # all of them, before the first is issued
        for subject in subjects:
            # None removes those of before: they may be of another facility.
            beside = {SETTINGS: settings_of(subject, shared)}
            made = issue_pair(authority, subject, timedelta(days), beside)
            files = "key.der, certificate.der, ca.der"
            click.echo(f"{made}: {files}{f', {SETTINGS}' if shared else ''}")
    _remind()


@command(exit_codes=_NOT_DONE)
@click.argument("name", metavar="DEVICE_ID")
@click.argument("request", type=_request)
@_facility
@days_option
@pass_layout
@translate_errors
def sign(layout: Layout, name: str, request: Path, facility: str, days: int) -> None:
    """Sign a certificate REQUEST (PKCS #10) that a device made.

    Its private key never leaves the device. Name, facility and purpose are those of
    this command; those of the request are ignored.

    \b
      egiz-infra sign oven-001 oven-001.csr --facility bakery
    """  # noqa: D301  # as above
    with layout.locked():
        subject = Subject("device", name, facility)
        authority = Authority(layout)
        made = issue_for(authority, subject, request, timedelta(days))
    click.echo(f"{made}: certificate.der, ca.der")
    _remind()


@command(exit_codes=_NOT_DONE)
@click.argument("name")
@click.option(
    "--request", type=_request, help="Certificate request of the device's own new key."
)
@days_option
@pass_layout
@translate_errors
def renew(layout: Layout, name: str, request: Path | None, days: int) -> None:
    """Make a new key and certificate for NAME.

    The old certificate stays valid until it expires: the device may get the new one any
    day before, and the broker needs no reload. If it has expired, the device is not on
    the access list: run `egiz-infra apply`. A broker reads its own new one after
    `egiz-infra apply`, and no client is disconnected.

    \b
      egiz-infra renew oven-001
    """  # noqa: D301  # as above
    with layout.locked():
        authority = Authority(layout)
        subject = newest(authority, name).subject
        if subject.kind == "broker":
            issue_broker_pair(authority, subject, timedelta(days))
            made = layout.broker
        elif request:
            made = issue_for(authority, subject, request, timedelta(days))
        else:
            made = issue_pair(authority, subject, timedelta(days))
    click.echo(f"{made}: renewed")


@command(
    exit_codes={
        DONE: "it has no access",
        FAILED: "it may still have access; do it again",
    }
)
@click.argument("name")
@with_target
@pass_layout
@translate_errors
def revoke(layout: Layout, target: Target, name: str) -> None:
    """Revoke every certificate of NAME, and end its connection.

    Then it is tried whether both worked. If the broker could not be reached, or did not
    do as it should, do it again.

    \b
      egiz-infra revoke oven-001
    """  # noqa: D301  # as above
    begun = time.monotonic()

    def report(step: str) -> None:
        click.echo(f"{time.monotonic() - begun:6.2f} s  {step}")

    with layout.locked():
        running = target.running(layout)
        revoke_all(Authority(layout), running, name, report)


@command(
    "list",
    exit_codes={
        DONE: "none expires soon",
        FAILED: "one expires soon and is not renewed, or is not valid yet; or there is"
        " no authority",
    },
)
@click.option(
    "--within",
    default=30,
    show_default=True,
    type=click.IntRange(0, DAYS_MAX),
    metavar="DAYS",
    help="What expires sooner is marked, and makes the exit code 1.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, an object a line, for scripts."
)
@pass_layout
@translate_errors
def list_(layout: Layout, within: int, as_json: bool) -> None:
    """List certificates, with the days that are left.

    \b
      egiz-infra list --within 60
    """  # noqa: D301  # as above
    everything = issued(Authority(layout))
    soon = expiring(everything, timedelta(within))
    for one in everything:
        click.echo(_as_json(one) if as_json else _as_line(one, one in soon))
    if soon or any(one.is_early for one in current(everything)):
        raise click.exceptions.Exit(FAILED)


def _days_left(one: Issued) -> int:
    return (one.until - datetime.now(UTC)).days


def _as_line(one: Issued, is_soon: bool) -> str:
    subject = one.subject
    state = "EXPIRES SOON" if is_soon else one.state
    state += f", of the former authority {one.issuer}" if one.is_former else ""
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
        "authority": one.issuer,
        "serial": f"{one.certificate.serial_number:x}",
    }
    return json.dumps(fields)


def _remind() -> None:
    click.echo("Now give it to the broker: egiz-infra apply", err=True)


COMMANDS = (init, issue, sign, renew, revoke, list_)
