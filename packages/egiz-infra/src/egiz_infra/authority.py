"""The certificate authority: P-256, X.509, and a list of what it has revoked.

It has no database. Each certificate that it issued is in `pki/certificates`, and what
is revoked is in the list that the broker reads; nothing can disagree with them.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, write

Kind = Literal["broker", "service", "device"]

AUTHORITY_DAYS = 3650
# A clock that is a little behind must not refuse a new certificate as not yet valid.
_BACKDATED = timedelta(hours=1)
_PURPOSE: dict[Kind, x509.ObjectIdentifier] = {
    "broker": ExtendedKeyUsageOID.SERVER_AUTH,
    "service": ExtendedKeyUsageOID.CLIENT_AUTH,
    "device": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_ALWAYS = ("localhost", "127.0.0.1")  # where the broker is probed


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

    Raises:
        InfraError: if there is none, or its files cannot be read.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        try:
            self.certificate = x509.load_pem_x509_certificate(
                (layout.pki / "ca.pem").read_bytes()
            )
            key = serialization.load_pem_private_key(
                (layout.pki / "ca.key").read_bytes(), None
            )
            self._crl = x509.load_pem_x509_crl((layout.pki / "crl.pem").read_bytes())
        except (OSError, ValueError) as error:
            raise InfraError(
                f"the authority in {layout.pki} cannot be used: {error}"
            ) from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def crl(self) -> bytes:
        """Its revocation list, as PEM."""
        return self._crl.public_bytes(serialization.Encoding.PEM)

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """Whether the revocation list has it."""
        serial = certificate.serial_number
        return self._crl.get_revoked_certificate_by_serial_number(serial) is not None

    def issue(
        self,
        subject: Subject,
        public_key: ec.EllipticCurvePublicKey,
        valid_for: timedelta,
    ) -> x509.Certificate:
        """Sign a certificate and keep a copy."""
        certificate = self.sign(subject, public_key, valid_for)
        name = f"{subject.name}-{certificate.serial_number:040x}.pem"
        write(self.layout.pki / "certificates" / name, pem_of(certificate))
        return certificate

    def sign(
        self,
        subject: Subject,
        public_key: ec.EllipticCurvePublicKey,
        valid_for: timedelta,
    ) -> x509.Certificate:
        """Sign a certificate; no copy is kept.

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
            _builder(_name(subject), self.certificate.subject, public_key)
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_key_usage(digital_signature=True), True)
            .add_extension(x509.ExtendedKeyUsage([_PURPOSE[subject.kind]]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._key.public_key()
                ),
                False,
            )
        )
        if subject.kind == "broker":
            names = map(_general_name, dict.fromkeys((*_ALWAYS, *subject.addresses)))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self._key, hashes.SHA256())

    def revoke(self, certificates: Iterable[x509.Certificate]) -> None:
        """Put them on the list; the broker refuses them once it has read it."""
        numbers = [
            one.serial_number for one in certificates if not self.is_revoked(one)
        ]
        self._crl = _crl(self.certificate, self._key, [*self._crl], numbers)
        write(self.layout.pki / "crl.pem", self.crl)


def create(layout: Layout, name: str) -> Authority:
    """Make a new authority.

    Raises:
        InfraError: if there is one: its certificates would no longer be accepted.
    """
    if (layout.pki / "ca.key").exists():
        raise InfraError(f"there is an authority in {layout.pki} already")
    layout.create()
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        _builder(subject, subject, key.public_key())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), True)
        .sign(key, hashes.SHA256())
    )
    write(layout.pki / "crl.pem", _crl(certificate, key, (), ()).public_bytes(_PEM))
    write(layout.pki / "ca.pem", pem_of(certificate))
    write(layout.pki / "ca.key", pem_of_key(key))
    return Authority(layout)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key: what an ESP32 signs with in a fraction of the memory of RSA."""
    return ec.generate_private_key(ec.SECP256R1())


_PEM = serialization.Encoding.PEM


def pem_of(certificate: x509.Certificate) -> bytes:
    """Its text form."""
    return certificate.public_bytes(_PEM)


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8 in PEM, unencrypted: the file's mode protects it."""
    return key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def der_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """SEC 1 in DER, which mbedTLS on a device reads in every version."""
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


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


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
    )


def _key_usage(**allowed: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        **{
            "digital_signature": False,
            "content_commitment": False,
            "key_encipherment": False,
            "data_encipherment": False,
            "key_agreement": False,
            "key_cert_sign": False,
            "crl_sign": False,
            "encipher_only": False,
            "decipher_only": False,
        }
        | allowed
    )


def _crl(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    known: Sequence[x509.RevokedCertificate],
    numbers: Iterable[int],
) -> x509.CertificateRevocationList:
    """The list; it is good for as long as the authority.

    A list that has expired locks every device out. The broker gets this one at the
    moment of the revocation, so an earlier date would protect from nothing.
    """
    now = datetime.now(UTC)
    new = (x509.RevokedCertificateBuilder(number, now).build() for number in numbers)
    entries = [*known, *new]
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - _BACKDATED)
        .next_update(certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(len(entries)), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False
        )
    )
    for one in entries:
        builder = builder.add_revoked_certificate(one)
    return builder.sign(key, hashes.SHA256())
