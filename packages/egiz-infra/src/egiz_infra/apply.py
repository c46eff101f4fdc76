"""Give the running broker new files, and prove that it uses them.

Mosquitto 2.0.11 fails open: after a reload with an access list that it cannot read or
parse, it runs without one, and every client may do everything. So another Mosquitto
checks the list first, and the running broker is probed after the reload.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from egiz_infra.accounts import accounts, roles
from egiz_infra.acl import compile_acl, stamp_topic
from egiz_infra.authority import Authority
from egiz_infra.errors import InfraError
from egiz_infra.layout import read_of_broker, write
from egiz_infra.programs import lines_of
from egiz_infra.register import devices, issued, services
from egiz_infra.running import Running
from egiz_infra.witness import revoked_context

_CHECKED_WITHIN_S = 30.0  # a list of 1,000 devices: 0.1 s
_ANOTHER_CHECKER = "name one with --mosquitto, or skip the check with --mosquitto ''"


def write_files(authority: Authority) -> str:
    """Write what the broker reads at its next start or reload; returns the stamp."""
    stamp = secrets.token_hex(8)
    layout = authority.layout
    write(layout.broker / "ca.pem", authority.trusted)
    write(layout.broker / "crl.pem", authority.crl)
    write(layout.broker / "acl", listed(authority, stamp).encode())
    return stamp


def listed(authority: Authority, stamp: str = "0") -> str:
    """The access list for everything that has been issued."""
    everything = issued(authority)
    names = [*accounts(authority.layout), *services(everything)]
    return compile_acl(devices(everything), names, stamp, roles(authority.layout))


def broker_certificate(authority: Authority) -> x509.Certificate:
    """What the broker shows to devices.

    Raises:
        InfraError: if no device could connect to a broker that has loaded it.
    """
    directory = authority.layout.broker
    remedy = "make a new one with `egiz-infra issue broker NAME`"
    pem, key = (read_of_broker(directory / f"broker.{x}") for x in ("pem", "key"))
    try:
        certificate = x509.load_pem_x509_certificate(pem or b"")
        private = serialization.load_pem_private_key(key or b"", None)
    except (ValueError, TypeError):  # a TypeError for a key with a password
        raise InfraError(
            f"{directory}/broker.pem or broker.key is missing or damaged: {remedy}"
        ) from None
    if private.public_key() != certificate.public_key():
        raise InfraError(
            f"{directory}/broker.key is not the key of broker.pem: {remedy}"
        )
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise InfraError(f"{directory}/broker.pem has expired: {remedy}")
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        raise InfraError(
            f"{directory}/broker.pem was not issued by this authority: {remedy}"
        ) from None
    return certificate


def apply(authority: Authority, running: Running) -> None:
    """Check, replace, reload, probe; if the probe fails, restore the former list.

    Raises:
        InfraError: saying whether the former list is in force again, or that the list
            is in force and devices cannot connect, or that the broker does not run.
    """
    running.health()  # without it, nothing could be probed afterwards
    running.check_reload()
    if running.checker:
        lint(listed(authority), running.checker)
    certificate = broker_certificate(authority)
    revoked = revoked_context(authority)
    path = authority.layout.broker / "acl"
    former = read_of_broker(path)
    did_run = running.answers()
    stamp = write_files(authority)
    try:
        running.ask_to_reload()
        running.wait_until_loaded(stamp)
    except InfraError as error:
        if not did_run and not running.answers():
            raise InfraError(
                f"{error}. The broker does not run: its files are written, and it reads"
                " them when it starts. Start it, then do this again, to prove them"
            ) from error
        _restore(path, former, running, error)
    running.check_devices(authority, certificate, revoked)


def _restore(
    path: Path, former: bytes | None, running: Running, error: InfraError
) -> None:
    if former is None:
        raise InfraError(
            f"{error}. There is no former access list. Stop the broker: it may be open"
            " to everybody"
        ) from error
    write(path, former)
    try:
        # If it is the reload that fails, the broker still has the former list.
        with suppress(InfraError):
            running.ask_to_reload()
        running.wait_until_loaded(_stamp_in(former.decode(errors="replace")))
    except InfraError as second:
        fate = (
            f"did not load it: {second}. Stop the broker: it may be open to everybody"
            if running.answers()  # Mosquitto 2.1 ends at a list that it cannot read
            else "does not run. Start it: it reads that list"
        )
        raise InfraError(
            f"{error}. The former access list was restored, and the broker {fate}"
        ) from error
    raise InfraError(f"{error}. The former access list is in force again") from error


def _stamp_in(text: str) -> str:
    _, _, rest = text.partition(f"topic write {stamp_topic('')}")
    return rest.partition("\n")[0]


def lint(text: str, program: str) -> None:
    """Start another Mosquitto with the list, on a socket that no client can reach.

    Raises:
        InfraError: with the error that it printed, or if there is no such program.
    """
    with tempfile.TemporaryDirectory(prefix="egiz-lint-") as name:
        directory = Path(name)
        (directory / "acl").write_text(text)
        configuration = directory / "mosquitto.conf"
        configuration.write_text(
            f"acl_file {directory}/acl\nallow_anonymous false\nuser root\n"
            f"listener 0 {directory}/socket\n"
        )
        command = [program, "-c", str(configuration)]
        try:
            with lines_of(command, _CHECKED_WITHIN_S) as lines:
                output = _startup_error(lines)
        except FileNotFoundError:
            raise InfraError(
                f"there is no program {program!r} to check the access list with:"
                f" {_ANOTHER_CHECKER}"
            ) from None
        except OSError as error:
            raise InfraError(
                f"{program!r} cannot check the access list: {error}; nothing was"
                f" changed. {_ANOTHER_CHECKER.capitalize()}"
            ) from None
    if output is not None:
        raise InfraError(f"Mosquitto does not accept the access list: {output}")


def _startup_error(printed: Iterator[str]) -> str | None:
    """What it printed before it ended; None if it started."""
    lines = []
    for line in printed:
        if line.rstrip().endswith("running"):
            return None
        lines.append(line.partition(": ")[2].strip())
    errors = [line for line in lines if line.startswith("Error")]
    return " ".join(errors or lines)
