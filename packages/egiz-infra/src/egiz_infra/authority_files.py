"""The three files of an authority, read: they fit each other, or it is not used.

A backup of another day, or a key from elsewhere, would sign certificates that every
client refuses; and a broker with the revocation list of another authority refuses all.
"""

from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from egiz_infra.errors import InfraError


class Files(NamedTuple):
    """What is in ca.pem, ca.key and crl.pem."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    crl: x509.CertificateRevocationList


def read_files(directory: Path) -> Files:
    """Read and compare them.

    Raises:
        InfraError: one cannot be read, is not of the kind that is made here, or is of
            another authority.
    """
    try:
        certificate = x509.load_pem_x509_certificate(
            (directory / "ca.pem").read_bytes()
        )
        key = serialization.load_pem_private_key(
            (directory / "ca.key").read_bytes(), None
        )
        crl = x509.load_pem_x509_crl((directory / "crl.pem").read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(directory, str(error)) from None
    except TypeError:
        raise _unusable(directory, "ca.key has a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable(directory, "ca.key is not of an elliptic curve")
    if key.public_key() != certificate.public_key():
        raise _unusable(directory, "ca.key is not the key of ca.pem; restore both")
    if not crl.is_signature_valid(key.public_key()):
        raise _unusable(directory, "crl.pem is of another authority; restore it, too")
    return Files(certificate, key, crl)


def _unusable(directory: Path, reason: str) -> InfraError:
    return InfraError(f"the authority in {directory} cannot be used: {reason}")
