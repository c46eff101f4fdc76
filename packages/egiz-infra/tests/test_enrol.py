"""Certificates for devices: with a key that is made here, or with their own."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


def test_the_files_of_a_device_are_der_of_one_pair(infra):
    infra("issue", "device", "oven-001", "--facility", "north")
    directory = infra.layout.issued / "oven-001"
    certificate = x509.load_der_x509_certificate(
        (directory / "certificate.der").read_bytes()
    )
    key = serialization.load_der_private_key((directory / "key.der").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert isinstance(key.curve, ec.SECP256R1)
    x509.load_der_x509_certificate((directory / "ca.der").read_bytes())
    assert "topic write sensors/north/oven-001/telemetry" in infra("acl")


def _request(path, name="oven-001", key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = built.sign(key, hashes.SHA256())
    path.write_bytes(request.public_bytes(serialization.Encoding.DER))
    return key


def test_a_device_may_make_its_own_key(infra, tmp_path):
    key = _request(tmp_path / "csr")
    infra("sign", "oven-001", str(tmp_path / "csr"))
    (certificate,) = infra.certificates("oven-001")
    assert certificate.public_key() == key.public_key()
    assert not (infra.layout.issued / "oven-001/key.der").exists()
    newer = _request(tmp_path / "csr")
    infra("renew", "oven-001", "--request", str(tmp_path / "csr"))
    one, other = (one.public_key() for one in infra.certificates("oven-001"))
    wanted = (key.public_key(), newer.public_key())
    assert wanted in [(one, other), (other, one)]


@pytest.mark.parametrize("wrong", ["name", "rsa", "p384", "signature", "nonsense"])
def test_a_request_that_is_not_valid_is_refused(infra, tmp_path, wrong):
    path = tmp_path / "csr"
    keys = {
        "rsa": rsa.generate_private_key(65537, 2048) if wrong == "rsa" else None,
        "p384": ec.generate_private_key(ec.SECP384R1()),
    }
    _request(path, "mixer-002" if wrong == "name" else "oven-001", keys.get(wrong))
    if wrong == "signature":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    if wrong == "nonsense":
        path.write_bytes(b"\x30\x03abc")
    output = {
        "name": "is for mixer-002, not for oven-001",
        "rsa": "its key is not P-256",
        "p384": "its key is not P-256",
        "signature": "its signature does not fit its key",
        "nonsense": "is no certificate request",
    }
    assert output[wrong] in infra("sign", "oven-001", str(path), code=1)
    assert not infra.certificates("oven-001")
