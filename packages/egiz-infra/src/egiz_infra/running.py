"""The running broker: how to reach it, reload it, and probe what it allows."""

import secrets
import shlex
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from egiz_infra.acl import stamp_topic
from egiz_infra.authority import Authority, Subject
from egiz_infra.building import new_key, pem_of, pem_of_key
from egiz_infra.errors import BrokerIsOpen, InfraError, NoAnswer, Refused
from egiz_infra.layout import Layout
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe
from egiz_infra.programs import reason_of, run

_MUST_BE_DENIED = "health/denied"
_ENDS_WITHIN_S = 120.0  # the command; if it restarts the broker, that saves its queues
_LOADED_WITHIN_S = 15.0
_CONNECTS_WITHIN_S = 5.0
# A broker that was open before may need a moment to load the list that closes it.
_CLOSED_WITHIN_S = 1.0
_PAUSE_S = 0.05


class Listener(NamedTuple):
    """One for certificates."""

    name: str
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Running:
    """The broker.

    Attributes:
        reload: the command that makes it read its files again (SIGHUP).
        services: (host, port) of the listener with passwords.
        devices: (host, port) of the listener with certificates.
        checker: the Mosquitto program that checks an access list before this one gets
            it; empty skips the check.
        devices_tls12: (host, port) of the second listener with certificates. While
            there is one, both accept TLS 1.2; None turns that off.
    """

    layout: Layout
    reload: str
    services: tuple[str, int]
    devices: tuple[str, int]
    checker: str
    devices_tls12: tuple[str, int] | None = None

    def check_reload(self) -> None:
        """Whether there is a program for it, while nothing has been replaced yet.

        Raises:
            InfraError: if there is none.
        """
        try:
            program = [*shlex.split(self.reload), ""][0]
        except ValueError as error:
            raise InfraError(f"--reload: {error}") from None
        if not shutil.which(program):
            name = program.partition("=")[0]  # PASSWORD=... as in a shell
            raise InfraError(
                f"--reload: there is no program {name!r} here;"
                " nothing was changed, and the broker runs as before"
            )

    def answers(self) -> bool:
        """Whether the listener with passwords accepts connections."""
        try:
            socket.create_connection(self.services, _CONNECTS_WITHIN_S).close()
        except OSError:
            return False
        return True

    def ask_to_reload(self) -> None:
        """Run the command.

        Raises:
            InfraError: if it fails.
        """
        try:
            done = run(shlex.split(self.reload), _ENDS_WITHIN_S)
        except (OSError, ValueError) as error:
            raise InfraError(f"--reload: {reason_of(error)}") from None
        if done.returncode != 0:
            output = done.stderr.strip() or f"exit code {done.returncode}"
            raise InfraError(f"--reload: {output}")

    def wait_until_loaded(self, stamp: str) -> None:
        """Wait for the access list with this stamp, and prove that it denies.

        Raises:
            BrokerIsOpen: if what must be denied is allowed.
            InfraError: if the list is not loaded in time.
        """
        begun = time.monotonic()
        while True:
            waited = time.monotonic() - begun
            try:
                loaded, denied = self._allows(stamp_topic(stamp), _MUST_BE_DENIED)
            except Refused as error:
                loaded, denied, why = False, True, str(error)
            else:
                why = "the access list in force is another one"
            if loaded and denied:
                return
            if not denied and waited > _CLOSED_WITHIN_S:
                raise BrokerIsOpen("the broker allows what the list does not")
            if waited > _LOADED_WITHIN_S:
                raise InfraError(f"not loaded within {_LOADED_WITHIN_S:.0f} s: {why}")
            time.sleep(_PAUSE_S)

    def check_devices(
        self,
        authority: Authority,
        expected: x509.Certificate,
        revoked: ssl.SSLContext,
    ) -> None:
        """Connect to each listener with a certificate of each kind, and with TLS 1.2.

        Raises:
            InfraError: names each listener that accepts none, shows another one than
                expected, accepts one that is revoked, or has TLS 1.2 on or off where
                it should be the other.
        """
        problems: list[str] = []
        for listener in self.listeners():
            found = [*_problems(authority, listener, expected)]
            # Of one that accepts no certificate, a refusal of TLS 1.2 says nothing.
            has_tls12 = self.devices_tls12 is not None
            problems += found or _of_tls12(authority, listener, has_tls12)
            problems += _not_refused(listener, revoked)
        if problems:
            raise InfraError("; ".join(problems))

    def listeners(self) -> list[Listener]:
        """Those for certificates."""
        found = [Listener("the listener for devices", self.devices)]
        if self.devices_tls12:
            name = "the listener for devices with TLS 1.2"
            found.append(Listener(name, self.devices_tls12))
        return found

    def _allows(self, stamp: str, forbidden: str) -> tuple[bool, bool]:
        """(is the first topic allowed, is the second one denied)."""
        with Probe(self.health()) as probe:
            codes = probe.publish_all([(stamp, b"", False), (forbidden, b"", False)])
        return codes[0] != NOT_AUTHORISED, codes[1] == NOT_AUTHORISED

    def health(self) -> Login:
        """The account that probes.

        Raises:
            InfraError: if it has no password yet.
        """
        path = self.layout.secrets / "health"
        try:
            return Login(*self.services, "health", path.read_text())
        except FileNotFoundError:
            raise InfraError(
                f"there is no {path}, which the probe of the broker needs: run"
                " `egiz-infra account health`"
            ) from None


def _problems(
    authority: Authority, listener: Listener, expected: x509.Certificate
) -> Iterator[str]:
    for subject in _of_each_kind():
        _, login = one_off(authority, subject, listener.address)
        try:
            with Probe(login) as probe:
                shown = probe.certificate()
        except Refused as error:
            yield (
                f"{listener.name} does not accept the certificate of a {subject.kind}:"
                f" {error}. The log of the broker says why; until this is solved, no"
                f" {subject.kind} can connect there"
            )
        else:
            if shown != expected.public_bytes(serialization.Encoding.DER):
                yield (
                    f"{listener.name}, {login}, serves another certificate than"
                    " broker.pem: restart the broker, and see its log"
                )


def _of_tls12(
    authority: Authority, listener: Listener, has_tls12: bool
) -> Iterator[str]:
    """It was connected to with the newest version; what does it do with TLS 1.2?"""
    subject, _ = _of_each_kind()
    _, login = one_off(authority, subject, listener.address)
    assert login.tls is not None
    login.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    reason = None
    try:
        # The handshake alone proves nothing: the broker may close after it.
        with Probe(login):
            pass
    except NoAnswer as error:
        yield f"{listener.name} does not answer TLS 1.2: {error}"
        return
    except Refused as error:
        reason = str(error)
    if has_tls12 and reason:
        yield (
            f"{listener.name} does not accept TLS 1.2: {reason}. Stock MicroPython"
            " speaks no other, so our firmware cannot connect there: put tls12.conf in"
            " place of no-tls12.conf and restart the broker; or, if no device needs it,"
            " set EGIZ_DEVICES_TLS12=off"
        )
    if not has_tls12 and not reason:
        yield (
            f"{listener.name}, {login}, accepts TLS 1.2, which EGIZ_DEVICES_TLS12=off"
            " turns off: put no-tls12.conf in place of tls12.conf and restart the"
            " broker; or, if devices need it, name the second listener there"
        )


def _not_refused(listener: Listener, revoked: ssl.SSLContext) -> Iterator[str]:
    try:
        with Probe(Login(*listener.address, tls=revoked)):
            pass
    except NoAnswer as error:
        yield f"{listener.name} does not answer a certificate that is revoked: {error}"
        return
    except Refused:
        return
    yield (
        f"{listener.name} accepts certificates that are revoked: the broker has not"
        " read crl.pem, see its log; until this is solved, what was revoked may connect"
    )


def _of_each_kind() -> tuple[Subject, ...]:
    """The device is one that cannot be: the broker ends the session of a name."""
    probe = f"probe-{secrets.token_hex(8)}"
    return Subject("device", probe, "probe"), Subject("service", "health")


def one_off(
    authority: Authority, subject: Subject, at: tuple[str, int]
) -> tuple[x509.Certificate, Login]:
    """A certificate that is valid for minutes, to probe the broker with."""
    key = new_key()
    certificate = authority.sign(subject, key.public_key(), timedelta(minutes=10))
    context = ssl.create_default_context(cadata=authority.pem.decode())
    with tempfile.NamedTemporaryFile(prefix="egiz-", suffix=".pem") as file:
        file.write(pem_of_key(key) + pem_of(certificate))
        file.flush()
        context.load_cert_chain(file.name)
    return certificate, Login(*at, tls=context)
