"""The key set: it counts if the root key has signed it, and not an older one."""

import hashlib
import io
import random
import subprocess

import pytest
from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.signed import Refused
from egiz_edge_tools.keys import read_root, set_text, signed_set
from egiz_edge_tools.private_keys import load, sign
from rig.releases import PASSPHRASE, Releases


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    return Releases(tmp_path_factory.mktemp("work") / "keys")


def _key_set(releases, text, key="root"):
    private = load(releases.directory / f"{key}.pem", PASSPHRASE)
    return signed_set(text, sign(private, text))


READ_SET = """
import sys
from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.signed import Refused
with open(sys.argv[2]) as file:
    root = int(file.read(), 16)
for path in sys.argv[3:]:
    try:
        with open(path, "rb") as file:
            keys = KeySet(file, root, int(sys.argv[1]))
        print(keys.number, " ".join(sorted(keys.moduli)))
    except Refused as error:
        print(error)
"""


def test_a_key_set_counts_if_root_has_signed_it_and_it_is_not_older(
    releases, micropython, firmware, tmp_path
):
    moduli = releases.keys.moduli
    line = f"r1 {moduli['r1']:0768x}"
    sound = _key_set(releases, set_text(5, moduli))
    cases = {
        "5 r1 r2": sound,
        "5 r1": _key_set(releases, set_text(5, {"r1": moduli["r1"]})),
        "key set 4, older than 5": _key_set(releases, set_text(4, moduli)),
        "wrong signature": _key_set(releases, set_text(6, moduli), "r1"),
        "the root key has not signed it": sound.replace(b"egk1 root", b"egk1 r1", 1),
        "not a key set": releases.release(),
        "no keys": _key_set(releases, b"egiz-keys 5\n"),
        "too long": sound + b"x",
        "cut short": sound[:-1],
        "line 1 is damaged": _key_set(releases, f"egiz-keys 05\n{line}\n".encode()),
        "line 3 is damaged": _key_set(
            releases, f"egiz-keys 5\n{line}\n{line}\n".encode()
        ),
        "line 2 is damaged": _key_set(
            releases, f"egiz-keys 5\nroot {line[3:]}\n".encode()
        ),
    }
    said = _read_sets(releases, micropython, firmware, tmp_path, cases.values())
    assert said == list(cases)


def _read_sets(releases, micropython, firmware, directory, contents):
    """What the device says of these key sets, of which 5 is the lowest."""
    names = [f"keys-{number}" for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (directory / name).write_bytes(content)
    root = str(releases.directory / "root.modulus")
    done = subprocess.run(
        [micropython.program, "-c", READ_SET, "5", root, *names],
        env={"MICROPYPATH": f"{firmware}:.frozen"},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_any_byte_of_a_key_set_that_is_flipped_or_cut_is_refused(
    releases, micropython, firmware, tmp_path
):
    sound = _key_set(releases, set_text(5, releases.keys.moduli))
    chance, damaged = random.Random(4), []
    for at in range(len(sound)):
        content = bytearray(sound)
        content[at] ^= chance.randrange(1, 256)
        damaged += [bytes(content), sound[:at]]
    root = read_root(releases.directory)
    for content in damaged:
        with pytest.raises(Refused):
            KeySet(io.BytesIO(content), root)
    some = chance.sample(damaged, 200)
    said = _read_sets(releases, micropython, firmware, tmp_path, some)
    assert len(said) == 200
    assert [line for line in said if line.startswith("5 ")] == []


def test_only_the_one_right_block_of_a_signature_counts(
    releases, micropython, firmware, tmp_path
):
    # What lenient parsers of PKCS#1 v1.5 have accepted, made with the root key itself.
    text = set_text(5, releases.keys.moduli)
    digest = hashlib.sha256(text).digest()
    info = bytes.fromhex("3031300d060960864801650304020105000420")
    no_null = bytes.fromhex("302f300b0609608648016503040201" + "0420")
    blocks = [
        b"\0\1" + b"\xff" * 330 + b"\0" + info + digest,
        b"\0\1" + b"\xff" * 332 + b"\0" + no_null + digest,  # no parameters
        b"\0\1" + b"\xff" * 8 + b"\0" + info + digest + bytes(322),  # behind it
        b"\0\1" + b"\xff" * 322 + bytes(8) + b"\0" + info + digest,
        b"\0\2" + b"\xff" * 330 + b"\0" + info + digest,  # of encryption
        b"\0\1" + b"\xff" * 349 + b"\0" + digest,  # the hash alone
        b"\0" * 352 + digest,
    ]
    assert {len(block) for block in blocks} == {384}
    numbers = load(releases.directory / "root.pem", PASSPHRASE).private_numbers()
    modulus = numbers.public_numbers.n
    made = [pow(int.from_bytes(block, "big"), numbers.d, modulus) for block in blocks]
    signatures = [value.to_bytes(384, "big") for value in made]
    if made[0] + modulus < 1 << 3072:  # the same, beyond the modulus
        signatures.append((made[0] + modulus).to_bytes(384, "big"))
    signatures += [bytes(384), (1).to_bytes(384, "big"), (modulus).to_bytes(384, "big")]
    sets = [signed_set(text, signature) for signature in signatures]
    said = _read_sets(releases, micropython, firmware, tmp_path, sets)
    assert said == ["5 r1 r2"] + ["wrong signature"] * (len(sets) - 1)


def test_a_set_of_another_root_counts_for_nothing(releases, tmp_path):
    other = Releases(tmp_path / "other")
    path = releases.directory / "keys"
    with path.open("rb") as file, pytest.raises(ValueError, match="wrong signature"):
        KeySet(file, int((other.directory / "root.modulus").read_text(), 16))
