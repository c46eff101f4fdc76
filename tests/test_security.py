"""SECURITY.md: the commands that someone types in a hurry are commands, and work."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from egiz_infra.cli import main

TEXT = (Path(__file__).parents[1] / "SECURITY.md").read_text()
COMMANDS = re.findall(r"^    egiz-infra (.*?)(?: +#.*)?$", TEXT, re.MULTILINE)


def _run(directory, *arguments):
    return CliRunner().invoke(main, ["--directory", str(directory), *arguments])


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_every_command_exists_with_its_options(line, tmp_path):
    done = _run(tmp_path / "none", *line.split())
    assert done.exit_code != 2, done.output  # not of wrong usage
    assert "Traceback" not in done.output


def test_the_steps_for_a_stolen_authority_leave_nothing_of_the_former_one(tmp_path):
    section = TEXT.partition("### The authority's key")[2].partition("\n## ")[0]
    block = re.findall(r"^    egiz-infra (.*?)(?: +#.*)?$", section, re.MULTILINE)
    *steps, probe = block
    assert (steps[0], steps[-1], probe) == ("init", "apply --files-only", "apply")
    # Before the theft, then the key and what was issued are moved away.
    for line in (*steps, "account health"):
        assert _run(tmp_path, *line.split()).exit_code == 0, line
    former = _device(tmp_path)
    assert _run(tmp_path, "init").exit_code == 1  # one authority is never replaced
    (tmp_path / "stolen").mkdir()
    for name in ("pki", "issued"):
        (tmp_path / name).rename(tmp_path / "stolen" / name)
    for line in steps:
        assert _run(tmp_path, *line.split()).exit_code == 0, line

    authority = _authority(tmp_path)
    broker = x509.load_pem_x509_certificate(
        (tmp_path / "broker/broker.pem").read_bytes()
    )
    for current in (_device(tmp_path), broker):
        current.verify_directly_issued_by(authority)
    with pytest.raises((InvalidSignature, ValueError)):
        former.verify_directly_issued_by(authority)


def _authority(directory):
    return x509.load_pem_x509_certificate((directory / "broker/ca.pem").read_bytes())


def _device(directory):
    der = (directory / "issued/oven-001/certificate.der").read_bytes()
    return x509.load_der_x509_certificate(der)
