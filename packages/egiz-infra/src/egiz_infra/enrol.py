"""Issue certificates: with a key that is made here, or for one made elsewhere."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from egiz_schema import explain, topics

from egiz_infra.accounts import check_account
from egiz_infra.authority import Authority, Subject
from egiz_infra.building import der_of_key, new_key, pem_of, pem_of_key
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, write_together

_DER = serialization.Encoding.DER
_P256_BITS = 256


# What goes into the directory of a device or a service; None removes a file.
_Files = Mapping[str, bytes | None]


def issue(
    authority: Authority,
    subject: Subject,
    valid_for: timedelta,
    beside: _Files | None = None,
) -> Path:
    """Make a key and a certificate; returns the directory with both.

    Args:
        authority: what signs it.
        subject: what it is for.
        valid_for: never longer than the authority.
        beside: other files of the directory that belong to the certificate.

    Raises:
        InfraError: if the name is not one of the contract.
    """
    check(subject)
    key = new_key()
    certificate, copy = authority.prepare(subject, key.public_key(), valid_for)
    is_device = subject.kind == "device"
    files = _of_certificate(authority, certificate, is_device) | dict(beside or {})
    files |= {"key.der": der_of_key(key)} if is_device else {"key.pem": pem_of_key(key)}
    return _write(authority.layout, subject.name, files, copy)


def issue_broker(authority: Authority, subject: Subject, valid_for: timedelta) -> None:
    """Make a key and a certificate for the broker, where the broker reads them."""
    key = new_key()
    certificate, copy = authority.prepare(subject, key.public_key(), valid_for)
    directory = authority.layout.broker
    pair = {
        directory / "broker.key": pem_of_key(key),
        directory / "broker.pem": authority.chain(certificate),
    }
    write_together(authority.layout, copy | pair)


def issue_for(
    authority: Authority,
    subject: Subject,
    request: Path,
    valid_for: timedelta,
) -> Path:
    """Sign a device's own request (PEM or DER); its private key never leaves it.

    Raises:
        InfraError: if the request is not valid, or is for another name.
    """
    check(subject)
    public_key = _requested(request, subject.name)
    certificate, copy = authority.prepare(subject, public_key, valid_for)
    files = _of_certificate(authority, certificate, subject.kind == "device")
    files |= _of_before(authority.layout.issued / subject.name, public_key)
    return _write(authority.layout, subject.name, files, copy)


def _of_before(
    directory: Path, key: ec.EllipticCurvePublicKey
) -> dict[str, bytes | None]:
    """What must go: files of another key, and perhaps of another facility."""
    names = ["settings.json"]
    for name in ("key.der", "key.pem"):
        path = directory / name
        if path.exists() and not _is_key_of(path, key):
            names.append(name)
    return dict.fromkeys(names)


def _is_key_of(path: Path, key: ec.EllipticCurvePublicKey) -> bool:
    is_der = path.suffix == ".der"
    load = (
        serialization.load_der_private_key
        if is_der
        else serialization.load_pem_private_key
    )
    try:
        return load(path.read_bytes(), None).public_key() == key
    except (ValueError, TypeError):  # damaged, or with a password
        return False


def check(subject: Subject) -> None:
    """Refuse a name that the contract or the access list does not know.

    Raises:
        InfraError: saying which names there are.
    """
    if subject.kind == "device":
        if not topics.is_device_id(subject.name):
            raise InfraError(
                f"{subject.name!r} is no device id: {explain('bad_device_id')}"
            )
        if not topics.is_facility(subject.facility):
            raise InfraError(
                f"{subject.facility!r} is no facility: {explain('bad_facility')}"
            )
    if subject.kind == "service":
        check_account(subject.name)


def _of_certificate(
    authority: Authority, certificate: x509.Certificate, is_device: bool
) -> dict[str, bytes | None]:
    if is_device:
        own, ca = certificate.public_bytes(_DER), authority.certificate
        return {"certificate.der": own, "ca.der": ca.public_bytes(_DER)}
    return {"certificate.pem": pem_of(certificate), "ca.pem": authority.pem}


def _write(
    layout: Layout, name: str, files: _Files, copy: Mapping[Path, bytes]
) -> Path:
    """Into the directory of that name, and the copy into that of the authority."""
    directory = layout.issued / name
    issued = {directory / file: content for file, content in files.items()}
    write_together(layout, {**copy, **issued})
    return directory


def _requested(path: Path, name: str) -> ec.EllipticCurvePublicKey:
    content = path.read_bytes()
    is_pem = content.startswith(b"-----BEGIN")
    load = x509.load_pem_x509_csr if is_pem else x509.load_der_x509_csr
    try:
        request = load(content)
    except ValueError:
        raise InfraError(f"{path} is no certificate request in PEM or DER") from None
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size != _P256_BITS:
        raise InfraError(f"{path}: its key is not P-256")
    if not request.is_signature_valid:
        raise InfraError(f"{path}: its signature does not fit its key")
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [one.value for one in names] != [name]:
        found = ", ".join(str(one.value) for one in names) or "no name"
        raise InfraError(f"{path} is for {found}, not for {name}")
    return key
