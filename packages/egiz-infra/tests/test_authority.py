"""The certificates of the authority, as OpenSSL checks them."""

import shutil
import subprocess
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from egiz_infra import authority
from egiz_infra.cli import main

SERVED = ("acl", "ca.pem", "crl.pem")


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


@pytest.fixture
def foreign(tmp_path):
    """The files of other authorities and keys, by name."""
    other = tmp_path / "other"
    authority.make(other, "Other")
    (tmp_path / "rsa.key").write_bytes(_openssl("genrsa", "2048"))
    encrypt = ("pkcs8", "-topk8", "-passout", "pass:x", "-in")
    (tmp_path / "password.key").write_bytes(_openssl(*encrypt, other / "ca.key"))
    return {
        "rsa": tmp_path / "rsa.key",
        "password": tmp_path / "password.key",
        **{name: other / name for name in ("ca.key", "ca.pem", "crl.pem")},
    }


def _openssl(*arguments):
    return subprocess.run(
        ["openssl", *arguments], capture_output=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("given", "target", "message"),
    [
        ("rsa", "ca.key", "ca.key is not of an elliptic curve"),
        ("password", "ca.key", "ca.key has a password"),
        ("ca.key", "ca.key", "ca.key is not the key of ca.pem"),
        ("ca.pem", "ca.pem", "ca.key is not the key of ca.pem"),
        ("crl.pem", "crl.pem", "crl.pem is of another authority"),
    ],
)
def test_files_that_are_not_of_one_authority_issue_nothing_and_go_to_no_broker(
    infra, foreign, given, target, message
):
    served = {name: (infra.layout.broker / name).read_bytes() for name in SERVED}
    shutil.copy(foreign[given], infra.layout.pki / target)
    assert message in infra("issue", "device", "oven-001", code=1)
    assert message in infra("apply", "--files-only", code=1)
    assert not infra.certificates("oven-001")
    assert served == {n: (infra.layout.broker / n).read_bytes() for n in SERVED}


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
