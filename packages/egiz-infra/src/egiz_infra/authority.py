"""The certificate authority: P-256, X.509, and a list of what it has revoked.

It has no database. Each certificate that it issued is in `pki/certificates`, and what
is revoked is in the list that the broker reads; nothing can disagree with them.

During a roll-over (rollover.py) there is a former one in `pki/former`, which is trusted
and revokes, and issues nothing.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from egiz_infra.authority_files import read_files
from egiz_infra.building import (
    BACKDATED,
    PEM,
    builder_of,
    general_name,
    key_usage,
    new_key,
    numbered,
    pem_of,
    pem_of_key,
    revocation_list,
    sequence_of,
)
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, write, write_together

Kind = Literal["broker", "service", "device"]

AUTHORITY_DAYS = 3650
_PURPOSE: dict[Kind, x509.ObjectIdentifier] = {
    "broker": ExtendedKeyUsageOID.SERVER_AUTH,
    "service": ExtendedKeyUsageOID.CLIENT_AUTH,
    "device": ExtendedKeyUsageOID.CLIENT_AUTH,
}
# In the directory of the authority, during a roll-over.
NEXT, FORMER, CROSS = "next", "former", "cross.pem"
_ALWAYS = ("localhost", "127.0.0.1")  # where the broker is probed
_NUMBER = re.compile(r"-([0-9a-f]{40})\.pem\Z")


class Subject(NamedTuple):
    """What a certificate is for.

    Attributes:
        name: the device id, the account, or the broker's name.
        facility: where a device stands; empty for the others.
        addresses: host names and IP addresses of a broker.
    """

    kind: Kind
    name: str
    facility: str = ""
    addresses: tuple[str, ...] = ()


class Authority:
    """Issues and revokes; `create` makes it, `Authority(layout)` opens it.

    Attributes:
        former: the one that this one replaces, until the roll-over is finished.

    Raises:
        InfraError: if there is none, or its files cannot be read or are not of one.
    """

    def __init__(self, layout: Layout, directory: Path | None = None) -> None:
        self.layout = layout
        self._directory = directory or layout.pki
        if (layout.pki / NEXT).exists():
            raise InfraError(
                "a roll-over was interrupted: run `egiz-infra rollover start` again"
            )
        self.certificate, self._key, self._crl = read_files(self._directory)
        former = self._directory / FORMER
        self.former = Authority(layout, former) if former.exists() else None

    @property
    def name(self) -> str:
        """Its common name."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value)

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return pem_of(self.certificate)

    @property
    def trusted(self) -> bytes:
        """What the broker trusts: its own certificate, and that of the former one."""
        return self.pem + (self.former.pem if self.former else b"")

    @property
    def crl(self) -> bytes:
        """The revocation lists of all that is trusted, as PEM."""
        return self._crl.public_bytes(PEM) + (self.former.crl if self.former else b"")

    def chain(self, certificate: x509.Certificate) -> bytes:
        """What the broker shows; who trusts only the former one accepts it, too."""
        cross = self._directory / CROSS
        return pem_of(certificate) + (cross.read_bytes() if self.former else b"")

    def sign_successor(self, successor: x509.Certificate) -> x509.Certificate:
        """Say of a new authority that whoever trusts this one may trust it.

        Raises:
            InfraError: if this one has expired, or was made without the right to do so.
        """
        if self._is_expired:
            raise InfraError(
                f"{self.name} has expired, and no device trusts what it signs: make a"
                " new one in another directory, and give each device its certificate"
            )
        limits = self.certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        ).value
        if not limits.path_length:
            raise InfraError(
                "this authority was made without the right to sign another one: make a"
                " new one in another directory, and give each device its certificate"
            )
        key = successor.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        return (
            builder_of(successor.subject, self.certificate.subject, key)
            .not_valid_before(successor.not_valid_before_utc)
            .not_valid_after(self.certificate.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), True)
            .add_extension(issuer, False)
            .sign(self._key, hashes.SHA256())
        )

    def issuer_of(self, certificate: x509.Certificate) -> "Authority | None":
        """This one, the former one, or None: it is of neither."""
        if certificate.issuer == self.certificate.subject:
            return self
        return self.former.issuer_of(certificate) if self.former else None

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """Whether the revocation list of its issuer has it."""
        issuer = self.issuer_of(certificate)
        serial = certificate.serial_number
        return issuer is not None and issuer._lists(serial)  # noqa: SLF001  # the same class

    def _lists(self, serial: int) -> bool:
        return self._crl.get_revoked_certificate_by_serial_number(serial) is not None

    def issue(
        self,
        subject: Subject,
        public_key: ec.EllipticCurvePublicKey,
        valid_for: timedelta,
    ) -> x509.Certificate:
        """Sign a certificate and keep a copy."""
        certificate, copy = self.prepare(subject, public_key, valid_for)
        write_together(self.layout, copy)
        return certificate

    def prepare(
        self,
        subject: Subject,
        public_key: ec.EllipticCurvePublicKey,
        valid_for: timedelta,
    ) -> tuple[x509.Certificate, dict[Path, bytes]]:
        """Sign a certificate, and give it with the copy that must be kept of it."""
        number = numbered(_last_issued(self.layout) + 1)
        certificate = self.sign(subject, public_key, valid_for, number)
        path = self.layout.copies / f"{subject.name}-{number:040x}.pem"
        return certificate, {path: pem_of(certificate)}

    def sign(
        self,
        subject: Subject,
        public_key: ec.EllipticCurvePublicKey,
        valid_for: timedelta,
        number: int | None = None,
    ) -> x509.Certificate:
        """Sign a certificate; no copy is kept.

        Args:
            subject: what it is for.
            public_key: of whom it is for.
            valid_for: never longer than the authority.
            number: random, if it is not given.

        Raises:
            InfraError: the authority has expired, or this machine's clock is wrong.
        """
        now = datetime.now(UTC)
        start = self.certificate.not_valid_before_utc
        end = self.certificate.not_valid_after_utc
        if now < start:
            fix = "check this machine's clock"
            raise InfraError(f"the authority is valid from {start:%Y-%m-%d}: {fix}")
        if end <= now:
            fix = "check this machine's clock, or make another authority"
            raise InfraError(f"the authority expired on {end:%Y-%m-%d}: {fix}")
        until = min(now + valid_for, end)
        builder = (
            builder_of(_name(subject), self.certificate.subject, public_key, number)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(key_usage(digital_signature=True), True)
            .add_extension(x509.ExtendedKeyUsage([_PURPOSE[subject.kind]]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._key.public_key()
                ),
                False,
            )
        )
        if subject.kind == "broker":
            names = map(general_name, dict.fromkeys((*_ALWAYS, *subject.addresses)))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self._key, hashes.SHA256())

    def revoke(self, certificates: Iterable[x509.Certificate]) -> None:
        """Put them on the list; the broker refuses them once it has read it."""
        given = list(certificates)
        own = [one for one in given if self.issuer_of(one) is self]
        # What has expired signs no list: whom it issued to is refused all the same.
        if not self._is_expired:
            self._add_to_list(
                one.serial_number for one in own if not self.is_revoked(one)
            )
        if self.former:
            self.former.revoke(one for one in given if one not in own)

    @property
    def _is_expired(self) -> bool:
        return self.certificate.not_valid_after_utc <= datetime.now(UTC)

    def _add_to_list(self, numbers: Iterable[int]) -> None:
        self._crl = revocation_list(self.certificate, self._key, [*self._crl], numbers)
        write(self._directory / "crl.pem", self._crl.public_bytes(PEM))


def _last_issued(layout: Layout) -> int:
    """By the names of the copies: to read thousands of them would last seconds."""
    numbers = map(_number_of, layout.copies.glob("[!.]*.pem"))
    return max(map(sequence_of, numbers), default=0)


def _number_of(copy: Path) -> int:
    found = _NUMBER.search(copy.name)
    if found:
        return int(found[1], 16)
    # Renamed by hand, or of somebody else.
    with suppress(ValueError):
        return x509.load_pem_x509_certificate(copy.read_bytes()).serial_number
    return 0


def create(layout: Layout, name: str) -> Authority:
    """Make a new authority.

    Raises:
        InfraError: if there is one: its certificates would no longer be accepted.
    """
    layout.create()
    with layout.locked():
        if (layout.pki / "ca.key").exists():
            raise InfraError(f"there is an authority in {layout.pki} already")
        make(layout.pki, name)
        return Authority(layout)


def make(directory: Path, name: str) -> x509.Certificate:
    """Write the three files of a new authority, its key last."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        builder_of(subject, subject, key.public_key())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        # One more: its successor, in a roll-over.
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), True)
        .sign(key, hashes.SHA256())
    )
    nothing = revocation_list(certificate, key, (), ())
    write(directory / "crl.pem", nothing.public_bytes(PEM))
    write(directory / "ca.pem", pem_of(certificate))
    write(directory / "ca.key", pem_of_key(key))
    return certificate


def subject_of(certificate: x509.Certificate) -> Subject:
    """What it was issued for.

    Raises:
        InfraError: if it was not issued here.
    """
    names: dict[x509.ObjectIdentifier, str] = {
        one.oid: str(one.value) for one in certificate.subject
    }
    unit = names.get(NameOID.ORGANIZATIONAL_UNIT_NAME)
    kind = next((one for one in _PURPOSE if one == unit), None)
    if kind is None:
        raise InfraError(f"{certificate.subject.rfc4514_string()}: not issued here")
    addresses: tuple[str, ...] = ()
    if kind == "broker":
        extension = x509.SubjectAlternativeName
        found = certificate.extensions.get_extension_for_class(extension).value
        addresses = tuple(str(one.value) for one in found)
    facility = names.get(NameOID.ORGANIZATION_NAME, "")
    return Subject(kind, names[NameOID.COMMON_NAME], facility, addresses)


def _name(subject: Subject) -> x509.Name:
    given = [
        (NameOID.ORGANIZATION_NAME, subject.facility),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, subject.kind),
        (NameOID.COMMON_NAME, subject.name),
    ]
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in given if text])
