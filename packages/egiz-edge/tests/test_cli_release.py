"""The commands that make keys and releases, as a person types them."""

import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner
from egiz_edge_tools.cli import main
from egiz_edge_tools.keys import read_set
from rig.process import own_program

PASSPHRASE = "Öfen laufen lange"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with keys, a passphrase and releases, as the guide makes them."""
    directory = tmp_path_factory.mktemp("made")
    (directory / "passphrase").write_text(PASSPHRASE + "\n", "utf-8")
    secret = ["--passphrase-file", str(directory / "passphrase")]
    keys = str(directory / "keys")
    assert _edge("keygen", keys, *secret) == 0
    key = ["--key", f"{keys}/r1.pem", *secret]
    assert _edge("release", *key, "--out", str(directory / "updates")) == 0
    assert _edge("release", "--unsigned", "--out", str(directory / "unsigned")) == 0
    return directory


@pytest.fixture
def work(made, tmp_path, monkeypatch):
    """A copy of it that a test may change, as (its directory, how to run there)."""
    subprocess.run(["cp", "-rp", f"{made}/.", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)

    def edge(line):
        words = line.replace("SECRET", "--passphrase-file passphrase").split()
        done = CliRunner().invoke(main, words, input="")
        assert not done.exception or isinstance(done.exception, SystemExit)
        return done.exit_code, done.output

    return tmp_path, edge


def _edge(*words):
    return CliRunner().invoke(main, words, input="").exit_code


def _mode(path):
    return path.stat().st_mode & 0o777


def test_private_keys_are_for_their_owner_and_encrypted(made):
    keys = made / "keys"
    for name in ("root.pem", "r1.pem", "r2.pem"):
        assert _mode(keys / name) == 0o600, name
        assert (keys / name).read_text().startswith("-----BEGIN ENCRYPTED")
    assert _mode(keys) == 0o700
    found = read_set(keys)
    assert (found.number, sorted(found.moduli)) == (1, ["r1", "r2"])


def test_keys_are_never_overwritten_and_a_new_passphrase_is_not_asked_for(work):
    directory, edge = work
    before = {path: path.read_bytes() for path in (directory / "keys").iterdir()}
    code, output = edge("keygen keys")
    assert code == 2
    assert "keys/root.pem: is there already, and keys are never overwritten" in output
    (directory / "keys/root.pem").unlink()  # as it should be
    assert edge("keygen keys SECRET")[0] == 2
    del before[directory / "keys/root.pem"]
    after = {path: path.read_bytes() for path in (directory / "keys").iterdir()}
    assert after == before


def test_a_release_is_verified_with_the_public_files_alone(work):
    directory, edge = work
    for path in (directory / "keys").glob("*.pem"):
        path.unlink()
    code, output = edge("verify updates/0.1.0.egz --keys keys")
    assert code == 0, output
    assert output.startswith("updates/0.1.0.egz: version 0.1.0, security 0, for esp32,")
    assert output.endswith(" bytes; signed by r1 of set 1\n")
    assert (directory / "updates/keys").read_bytes() == (
        directory / "keys/keys"
    ).read_bytes()


def test_all_releases_of_a_directory_are_verified_and_each_reason_is_said(work):
    directory, edge = work
    whole = (directory / "updates/0.1.0.egz").read_bytes()
    for name in ("0.0.8", "0.0.9"):
        (directory / f"updates/{name}.egz").write_bytes(whole)
    line = "verify updates/0.0.8.egz updates/0.0.9.egz updates/0.1.0.egz --keys keys"
    code, output = edge(line)
    assert (code, output.count("signed by r1 of set 1\n")) == (0, 3)
    (directory / "updates/0.0.8.egz").write_bytes(whole[:-1])
    (directory / "updates/0.0.9.egz").write_bytes(b"<html>")
    code, output = edge(line)
    assert (code, output.count("signed by r1 of set 1\n")) == (1, 1)
    assert "0.0.8.egz: cut short\nupdates/0.0.9.egz: not a release\n" in output


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[:-1], "cut short"),
        (lambda whole: whole + b"\n", "too long"),
        (lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), "damaged egiz_schema/"),
        (lambda whole: whole.replace(b"security 0", b"security 1"), "wrong signature"),
        (lambda _: b"", "not a release"),
        (lambda _: bytes(range(256)), "not a release"),
    ],
)
def test_what_is_not_sound_is_refused_with_the_reason_and_code_1(work, damage, reason):
    directory, edge = work
    path = directory / "updates/0.1.0.egz"
    path.write_bytes(damage(path.read_bytes()))
    code, output = edge("verify updates/0.1.0.egz --keys keys")
    assert code == 1
    assert output.startswith(f"Error: updates/0.1.0.egz: {reason}")


def test_an_unsigned_release_is_signed_by_openssl_and_is_then_the_same(work):
    directory, edge = work
    assert edge("verify unsigned/0.1.0.egz --keys keys") == (
        1,
        "Error: unsigned/0.1.0.egz: not signed\n",
    )
    manifest = directory / "unsigned/0.1.0.manifest"
    private = directory / "keys/r2.pem"
    command = ["openssl", "dgst", "-sha256", "-sign", str(private)]
    secret = ["-passin", f"file:{directory / 'passphrase'}"]
    out = ["-out", str(directory / "sig"), str(manifest)]
    subprocess.run([*command, *secret, *out], check=True)
    (directory / "link.egz").symlink_to("unsigned/0.1.0.egz")
    # Without keys, the release names none; a device tries those that it has.
    assert edge("sign link.egz --signature sig")[0] == 0
    assert (directory / "link.egz").is_symlink()
    code, output = edge("verify unsigned/0.1.0.egz --keys keys")
    assert (code, output[-27:]) == (0, "; signed by a key of set 1\n")
    code, output = edge("sign unsigned/0.1.0.egz --signature sig --keys keys")
    assert (code, output) == (0, "unsigned/0.1.0.egz: signed, by r2\n")
    assert edge("verify unsigned/0.1.0.egz --keys keys")[0] == 0


def test_an_unsigned_release_names_the_key_set_that_it_is_given(work):
    directory, edge = work
    assert edge("keys add r3 --keys keys SECRET")[0] == 0
    code, output = edge("release --unsigned --keys keys --out next")
    assert code == 0, output
    assert "next/keys: key set 2, for devices" in output
    manifest = (directory / "next/0.1.0.manifest").read_text()
    assert "\nkeys 2\n" in manifest
    code, output = edge("release --keys keys --key keys/r1.pem SECRET")
    assert (code, "--keys needs --unsigned" in output) == (2, True)


def test_a_key_that_is_not_there_is_said_before_a_passphrase_is_asked_for(work):
    directory, edge = work
    for line in ("release --key keys/r9.pem", "keys add r3 --root stick/root.pem"):
        code, output = edge(line)
        assert (code, ": No such file or directory" in output) == (2, True), output
    assert not (directory / "keys/r3.pem").exists()


def test_a_signature_of_something_else_is_not_put_into_a_release(work):
    directory, edge = work
    before = (directory / "unsigned/0.1.0.egz").read_bytes()
    (directory / "sig").write_bytes(b"x" * 384)
    code, output = edge("sign unsigned/0.1.0.egz --signature sig --keys keys")
    assert code == 1
    assert "the signature is not of this manifest by a key of the set" in output
    (directory / "sig").write_bytes(b"x" * 256)
    code, output = edge("sign unsigned/0.1.0.egz --signature sig")
    assert code == 1
    assert "has 256 bytes, not 384" in output
    assert (directory / "unsigned/0.1.0.egz").read_bytes() == before


def test_keys_are_added_and_revoked_and_the_number_grows(work):
    directory, edge = work
    code, output = edge("keys add r3 --keys keys SECRET")
    assert (code, output) == (0, "keys/keys: key set 2, with r3\n")
    assert _mode(directory / "keys/r3.pem") == 0o600
    code, output = edge("keys revoke r1 --keys keys SECRET")
    assert (code, output) == (0, "keys/keys: key set 3, without r1\n")
    assert sorted(read_set(directory / "keys").moduli) == ["r2", "r3"]
    assert edge("verify updates/0.1.0.egz --keys keys") == (
        1,
        "Error: updates/0.1.0.egz: unknown or revoked key r1\n",
    )
    code, output = edge("release --key keys/r1.pem --out updates SECRET")
    assert code == 2
    assert "key set 3 beside it has no such r1 (is it revoked?)" in output
    code, output = edge("release --key keys/r3.pem --out updates SECRET")
    assert code == 0
    assert "which replaces another" in output
    assert edge("verify updates/0.1.0.egz --keys keys")[0] == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("keys add r1 --keys keys SECRET", "r1: is in the set already"),
        ("keys add root --keys keys SECRET", "'root': the id of a key has"),
        ("keys add ../x --keys keys SECRET", "'../x': the id of a key has"),
        ("keys add r3 --keys keys --public keys/r1.pem SECRET", "not a public key"),
        ("keys add r3 --keys keys --root keys/r1.pem SECRET", "is not the root key of"),
        ("keys revoke r9 --keys keys SECRET", "has no such key, but r1, r2"),
        ("keys revoke r1 --keys updates SECRET", "updates/root.pem: No such file"),
        ("keys revoke r1 --keys updates --root keys/root.pem SECRET", "root.modulus"),
        ("release --key keys/keys SECRET", "not a private key in PEM"),
        ("release --key passphrase SECRET", "not a private key in PEM"),
        ("release --unsigned --key keys/r1.pem", "--unsigned needs neither"),
        ("release --key keys/r1.pem --passphrase-file keys/keys", "not UTF-8 text"),
        ("release --key keys/r1.pem", "--passphrase-file: give one"),
        ("keygen other --passphrase-file keys/root.modulus", ""),
        ("verify updates/0.1.0.egz --keys updates", "root.modulus"),
    ],
)
def test_what_a_person_gets_wrong_is_a_sentence_and_changes_nothing(work, line, words):
    directory, edge = work
    if line.startswith("keygen"):
        (directory / "keys/root.modulus").write_text("\r\n")
        words = "is empty"
    before = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    code, output = edge(line)
    assert code == 2, output
    assert words in output
    assert PASSPHRASE not in output
    after = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    assert after == before


def test_a_passphrase_file_of_an_editor_on_windows_is_the_same_passphrase(work):
    directory, edge = work
    (directory / "passphrase").write_bytes(
        b"\xef\xbb\xbf" + PASSPHRASE.encode() + b"\r\nsecond line\r\n"
    )
    code, output = edge("release --key keys/r1.pem --out updates SECRET")
    assert (code, "as it was" in output) == (0, True), output
    (directory / "passphrase").write_text("wrong")
    code, output = edge("release --key keys/r1.pem --out updates SECRET")
    assert code == 2
    assert "not a private key in PEM, or not its passphrase" in output


def test_a_public_key_of_an_hsm_is_added(work):
    directory, edge = work
    key = directory / "hsm.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "3072"], check=True)
    public = ["-pubout", "-out", str(directory / "hsm.pub")]
    subprocess.run(["openssl", "rsa", "-in", str(key), *public], check=True)
    assert edge("keys add hsm --public hsm.pub --keys keys SECRET")[0] == 0
    assert "hsm" in read_set(directory / "keys").moduli
    code, output = edge("keys add hsm2 --public hsm.pub --keys keys SECRET")
    assert (code, "is the same key as hsm" in output) == (2, True)
    code, output = edge("release --key hsm.pem SECRET")
    assert (code, "is not encrypted" in output) == (2, True)


def test_the_passphrase_is_asked_for_at_a_terminal_twice_and_not_shown(tmp_path):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [own_program("egiz-edge"), "keygen", "keys"],
        cwd=tmp_path,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    said = b""
    for question in (b"Passphrase: ", b"Repeat for confirmation: "):
        while question not in said:
            said += os.read(leader, 1000)
        os.write(leader, b"geheim\n")
    while b"key set 1" not in said:
        said += os.read(leader, 1000)
    assert process.wait(60) == 0
    os.close(leader)
    assert b"geheim" not in said
    (tmp_path / "passphrase").write_text("geheim")
    command = ["openssl", "pkey", "-in", "keys/r1.pem", "-passin", "file:passphrase"]
    subprocess.run([*command, "-noout"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    "line", ["keygen other", "keys add r3", "release --key keys/r1.pem"]
)
def test_without_the_extra_a_sentence_names_it(made, line):
    code = (
        "import sys; sys.modules['cryptography'] = None;"
        "from egiz_edge_tools.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()],
        cwd=made,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: private keys need a package more: pip install 'egiz-edge[release]'\n"
    )
