"""Certificates for devices: with a key that is made here, or with their own."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from egiz_infra import authority
from egiz_infra.errors import InfraError


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


_SHARED = {"broker": "broker.lan", "wifi_ssid": "Küche", "wifi_password": "Secret-1"}


def test_settings_of_devices_are_those_that_are_shared_with_an_identity(
    infra, tmp_path
):
    path = tmp_path / "shared.json"
    path.write_text(json.dumps(_SHARED | {"ntp": "time.lan"}))
    options = ("--facility", "north", "--settings", str(path))
    output = infra("issue", "device", "oven-001", "oven-002", *options)
    assert output.count("ca.der, settings.json") == 2
    assert "Secret" not in output
    for name in ("oven-001", "oven-002"):
        made = infra.layout.issued / name / "settings.json"
        assert made.stat().st_mode & 0o777 == 0o600
        found = json.loads(made.read_text())
        tls = {"ca": "ca.der", "cert": "certificate.der", "key": "key.der"}
        own = {"facility": "north", "device_id": name, "tls": tls, "port": 8883}
        assert found == _SHARED | {"ntp": "time.lan"} | own
        assert all((made.parent / file).is_file() for file in tls.values())


def test_settings_of_a_former_facility_do_not_stay(infra, tmp_path):
    path = tmp_path / "shared.json"
    path.write_text(json.dumps(_SHARED | {"port": 8884}))
    infra("issue", "device", "oven-001", "--settings", str(path))
    made = infra.layout.issued / "oven-001/settings.json"
    assert json.loads(made.read_text())["port"] == 8884
    infra("renew", "oven-001")
    assert made.exists()  # the identity is the same
    infra("issue", "device", "oven-001", "--facility", "south")
    assert not made.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"a": NaN}', "is not JSON"),
        ('{"a": "Secret1", "a": "Secret2"}', "'a' stands there twice"),
        ("[]", "must be a JSON object"),
        (json.dumps(_SHARED | {"broker": None}), "has no broker"),
        ('{"broker": "b"}', "has no wifi_ssid, wifi_password"),
        (json.dumps(_SHARED | {"wifi_ssid": "\ud800"}), "has half a character"),
        (json.dumps(_SHARED | {"device_id": "x"}), "device_id: each device gets its"),
    ],
)
def test_shared_settings_that_cannot_be_used_issue_nothing(
    infra, tmp_path, text, reason
):
    path = tmp_path / "shared.json"
    path.write_text(text)
    output = infra("issue", "device", "oven-001", "--settings", str(path), code=1)
    assert reason in output
    assert "Secret" not in output
    assert not infra.certificates("oven-001")


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


def test_a_key_that_is_not_of_the_certificate_does_not_stay_beside_it(infra, tmp_path):
    shared, request = tmp_path / "shared.json", tmp_path / "csr"
    shared.write_text(json.dumps(_SHARED))
    directory = infra.layout.issued / "oven-001"
    for command in (
        ("sign", "oven-001", str(request), "--facility", "south"),
        ("renew", "oven-001", "--request", str(request)),
    ):
        infra("issue", "device", "oven-001", "--settings", str(shared))
        own = (directory / "key.der").read_bytes()
        _request(request, key=serialization.load_der_private_key(own, None))
        infra(*command)
        assert (directory / "key.der").read_bytes() == own  # its certificate is new
        if command[0] == "sign":
            (directory / "key.pem").write_bytes(b"damaged")
        _request(request)
        infra(*command)
        names = {path.name for path in directory.iterdir()}
        assert names == {"ca.der", "certificate.der"}


def test_of_two_that_make_the_authority_at_once_one_is_refused(
    infra_without_authority, monkeypatch
):
    infra = infra_without_authority
    never, both = threading.Event(), []
    real = authority.make

    def make(*arguments):
        never.wait(0.5)  # the other one would come here, too
        both.append(arguments)
        return real(*arguments)

    def create():
        try:
            authority.create(infra.layout, "OpenEgiz")
        except InfraError as error:
            return str(error)
        return "made"

    monkeypatch.setattr(authority, "make", make)
    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(lambda _: create(), range(2)))
    assert found == ["made", f"there is an authority in {infra.layout.pki} already"]
    assert len(both) == 1


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
