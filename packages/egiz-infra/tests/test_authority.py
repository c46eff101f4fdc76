"""The certificates of the authority, as OpenSSL checks them."""

import subprocess
from datetime import timedelta

from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from egiz_infra import authority
from egiz_infra.cli import main


def test_an_authority_that_has_expired_signs_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(authority, "AUTHORITY_DAYS", 0)
    run = ("--directory", str(tmp_path / "egiz"))
    assert CliRunner().invoke(main, [*run, "init"]).exit_code == 0
    done = CliRunner().invoke(main, [*run, "issue", "device", "oven-001"])
    assert done.exit_code == 1
    assert "the authority expired on " in done.output
    assert not (tmp_path / "egiz/issued/oven-001").exists()


def test_a_clock_before_the_authority_signs_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(authority, "BACKDATED", timedelta(days=-1))
    run = ("--directory", str(tmp_path / "egiz"))
    assert CliRunner().invoke(main, [*run, "init"]).exit_code == 0
    done = CliRunner().invoke(main, [*run, "issue", "device", "oven-001"])
    assert done.exit_code == 1
    assert "the authority is valid from " in done.output
    assert not (tmp_path / "egiz/issued/oven-001").exists()


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
