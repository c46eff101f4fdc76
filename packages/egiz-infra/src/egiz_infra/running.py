"""The running broker: how to reach it, reload it, and probe what it allows."""

import shlex
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from egiz_infra.acl import stamp_topic
from egiz_infra.authority import Authority, Subject
from egiz_infra.building import new_key, pem_of, pem_of_key
from egiz_infra.errors import BrokerIsOpen, InfraError, Refused
from egiz_infra.layout import Layout
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe

_MUST_BE_DENIED = "health/denied"
_LOADED_WITHIN_S = 15.0
# A broker that was open before may need a moment to load the list that closes it.
_CLOSED_WITHIN_S = 1.0
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """The broker.

    Attributes:
        reload: the command that makes it read its files again (SIGHUP).
        services: (host, port) of the listener with passwords.
        devices: (host, port) of the listener with certificates.
        checker: the Mosquitto program that checks an access list before this one gets
            it; empty skips the check.
    """

    layout: Layout
    reload: str
    services: tuple[str, int]
    devices: tuple[str, int]
    checker: str

    def ask_to_reload(self) -> None:
        """Run the command.

        Raises:
            InfraError: if it fails.
        """
        try:
            done = subprocess.run(
                shlex.split(self.reload), capture_output=True, text=True, check=False
            )
        except (OSError, ValueError) as error:
            raise InfraError(f"--reload {self.reload!r}: {error}") from None
        if done.returncode != 0:
            output = done.stderr.strip() or f"exit code {done.returncode}"
            raise InfraError(f"--reload {self.reload!r}: {output}")

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

    def check_devices(self, authority: Authority, expected: x509.Certificate) -> None:
        """Connect with a certificate, as devices do, and see what the broker shows.

        Raises:
            InfraError: if it accepts none, or shows another one than expected.
        """
        subject = Subject("service", "health")
        _, login = one_off(authority, subject, self.devices)
        try:
            with Probe(login) as probe:
                shown = probe.certificate()
        except Refused as error:
            raise InfraError(
                f"the listener for devices does not accept a certificate: {error}. Its"
                " log says why; no device can connect until this is solved"
            ) from None
        if shown != expected.public_bytes(serialization.Encoding.DER):
            raise InfraError(
                f"the listener for devices, {login}, serves another certificate than"
                " broker.pem: restart the broker, and see its log"
            )

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
