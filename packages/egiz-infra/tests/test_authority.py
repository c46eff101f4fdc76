"""The certificates of the authority, as OpenSSL checks them."""

import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def test_openssl_accepts_a_certificate_for_its_purpose_only(infra):
    infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    infra("issue", "device", "oven-001")
    root = infra.layout.root
    pem = root / "oven.pem"
    (device,) = infra.certificates("oven-001")
    pem.write_bytes(device.public_bytes(serialization.Encoding.PEM))
    made = {"sslserver": root / "broker/broker.pem", "sslclient": pem}
    for purpose, path in made.items():
        for wanted in ("sslserver", "sslclient"):
            command = [
                *("openssl", "verify", "-x509_strict", "-crl_check"),
                *("-CAfile", root / "pki/ca.pem", "-CRLfile", root / "pki/crl.pem"),
                *("-purpose", wanted, path),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) == (wanted == purpose), done.stderr
    (broker,) = infra.certificates("broker.factory")
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {str(one.value) for one in names.value} == {
        *("broker.factory", "10.20.0.5", "localhost", "127.0.0.1")
    }
