"""Keys, and how certificates and revocation lists are built."""

import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM
# A clock that is a little behind must not refuse a new certificate as not yet valid.
BACKDATED = timedelta(hours=1)
# A certificate's number: which one of those issued here it is, and random bits.
_SEQUENCE_BITS, _RANDOM_BITS = 48, 64


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key: what an ESP32 signs with in a fraction of the memory of RSA."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(certificate: x509.Certificate) -> bytes:
    """Its text form."""
    return certificate.public_bytes(PEM)


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8 in PEM, unencrypted: the file's mode protects it."""
    return key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def der_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """SEC 1 in DER, which mbedTLS on a device reads in every version."""
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def general_name(address: str) -> x509.GeneralName:
    """A host name or an IP address, as an alternative name of a broker."""
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def numbered(sequence: int) -> int:
    """The number of the certificate that is issued as this one, counted from 1.

    The order is in the certificate itself, so that it does not depend on a clock.
    """
    return sequence << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def sequence_of(number: int) -> int:
    """Which one it was; 0 if it was issued when numbers had 159 random bits."""
    is_ours = number.bit_length() <= _SEQUENCE_BITS + _RANDOM_BITS
    return number >> _RANDOM_BITS if is_ours else 0


def builder_of(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    number: int | None = None,
) -> x509.CertificateBuilder:
    """A certificate with its number, or a random one; no validity, no purpose."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(number or x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
    )


def key_usage(**allowed: bool) -> x509.KeyUsage:
    """What is allowed, and nothing else."""
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


def revocation_list(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    known: Sequence[x509.RevokedCertificate],
    numbers: Iterable[int],
) -> x509.CertificateRevocationList:
    """The list; it is good for as long as the authority.

    A list that has expired locks every device out, and so does one of the future,
    which a clock that was ahead had made. The broker gets this one at the moment of
    the revocation, so other dates would protect from nothing.
    """
    now = datetime.now(UTC)
    new = (x509.RevokedCertificateBuilder(number, now).build() for number in numbers)
    entries = [*known, *new]
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(certificate.not_valid_before_utc)
        .next_update(certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(len(entries)), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False
        )
    )
    for one in entries:
        builder = builder.add_revoked_certificate(one)
    return builder.sign(key, hashes.SHA256())
