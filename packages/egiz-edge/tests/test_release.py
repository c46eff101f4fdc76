"""A release: what host and device say of one that is sound, and of all others."""

import hashlib
import random
import subprocess
from pathlib import Path

import pytest
from egiz_edge.ota.release import is_path, is_version
from egiz_edge_tools.release import make
from rig.process import own_program
from rig.releases import FILES, HEAD, PASSPHRASE, Releases

HOSTILE = ["../main.py", "/main.py", "egiz_edge/../main.py", "main.py", "boot.py"]
HOSTILE += ["egiz_edge", "egiz_edge/", "egiz_edge/.mpy", "egiz_edge//app.mpy"]
HOSTILE += ["egiz_edge/a.b.mpy", "egiz_edge/App.mpy", "egiz_edge/a.mpy/b.mpy"]
HOSTILE += ["release", "settings.json", "lib/egiz_edge/app.mpy", "egiz_edge\\app.mpy"]
HOSTILE += [f"egiz_edge/{'a' * 60}.mpy", "other/app.mpy", "./egiz_edge/app.mpy"]


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    return Releases(tmp_path_factory.mktemp("work") / "keys")


@pytest.fixture
def verdicts(releases, micropython, firmware, tmp_path):
    """What host and device say of these contents, which must be the same."""

    def say(contents):
        paths = [tmp_path / f"{number}.egz" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        host = [releases.on_host(path) for path in paths]
        assert releases.on_device(micropython, firmware, paths) == host
        return host

    return say


def _signed_as(releases, head, files=FILES):
    """With these lines of the manifest's head, word for word."""
    lines = [
        f"{path} {len(content)} {hashlib.sha256(content).hexdigest()}"
        for path, content in files
    ]
    manifest = "".join(f"{line}\n" for line in [*head, *lines]).encode()
    signature = releases.signature(manifest)
    body = b"".join(content for _, content in files)
    return f"egz1 r1 384 {len(manifest)}\n".encode() + signature + manifest + body


def test_a_sound_release_is_read_by_both_by_each_key_and_by_one_that_is_not_named(
    releases, verdicts
):
    whole = releases.release()
    unnamed = whole.replace(b"egz1 r1 ", b"egz1 - ", 1)
    later = releases.release(later="what a reader of today does not know")
    assert verdicts([whole, releases.release(key="r2"), unnamed, later]) == (
        ["sound"] * 4
    )


def test_any_byte_that_is_flipped_or_cut_is_refused_by_both(releases, verdicts):
    whole = releases.release(FILES[:1])
    chance = random.Random(1)
    flipped = []
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= chance.randrange(1, 256)
        flipped.append(bytes(damaged))
    cut = [whole[:end] for end in range(len(whole))]
    longer = [whole + b"\0", whole + whole]
    found = verdicts([*flipped, *cut, *longer])
    assert [n for n, reason in enumerate(found) if reason == "sound"] == []


def test_host_and_device_agree_on_what_is_damaged_at_random(releases, verdicts):
    whole, chance = releases.release(), random.Random(2)
    contents = []
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            at, count = chance.randrange(len(damaged)), chance.randrange(1, 40)
            piece = chance.choice(
                [b"", chance.randbytes(count), bytes(damaged[:count]), b"\n", b" 0"]
            )
            damaged[at : at + chance.choice([0, count])] = piece
        contents.append(bytes(damaged))
    found = verdicts(contents)
    for content, reason in zip(contents, found, strict=True):
        assert reason != "sound" or content == whole


def test_host_and_device_agree_on_manifests_that_are_wrong_but_signed(
    releases, verdicts
):
    # Nothing but the parser stands between such a manifest and a slot.
    chance = random.Random(3)
    head = [f"{name} {value}" for name, value in HEAD.items()] + [""]
    contents = []
    for _ in range(150):
        lines = list(head)
        at = chance.randrange(len(lines))
        change = chance.randrange(4)
        if change == 0:
            del lines[at]
        elif change == 1:
            lines.insert(at, chance.choice(lines))
        elif change == 2:
            lines[at] += chance.choice(" 0x\t-\x7f~")
        else:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        contents.append(_signed_as(releases, lines))
    found = verdicts(contents)
    # A version, a number or the order of unknown lines may be another and be sound.
    assert 5 < found.count("sound") < 50
    assert found.count("manifest is damaged") > 20
    assert len({reason for reason in found if reason.startswith("line ")}) > 5


def test_each_reason_is_a_sentence_that_both_have(releases, verdicts):
    damaged = bytearray(releases.release())
    damaged[-1] ^= 1
    whole = releases.release()
    manifest = whole[whole.index(b"egiz 1\n") :]
    tampered = whole.replace(b"security 3", b"security 4")
    unsigned = b"egz1 - 0 %d\n" % (len(manifest) - 11) + manifest
    big = [(f"egiz_edge/m{n:02}.mpy", b"x" * 9000) for n in range(45)]
    cases = {
        "wrong signature": tampered,
        "unknown or revoked key r9": whole.replace(b"egz1 r1", b"egz1 r9", 1),
        "not signed": unsigned,
        "not a release": b"<!doctype html>\n<title>Log in</title>\n",
        "cut short": whole[:-1],
        "too long": whole + b"x",
        "damaged egiz_edge/drivers/pzem.mpy": bytes(damaged),
        "needs key set 2, not 1": releases.release(keys="2"),
        "for esp8266, not esp32": releases.release(target="esp8266"),
        "needs .mpy 7 0": releases.release(mpy="7 0"),
        "needs .mpy 6 10": releases.release(mpy="6 10"),
        "needs selector 2, not 1": releases.release(boot="2"),
        "security 1, below 2": releases.release(security="1"),
        "another format, not egiz 1": releases.release(egiz="2"),
        "manifest is damaged": releases.release(version="../9"),
        "no room: needs 564 KB, has 500": releases.release(big),
        "0 files": releases.release([]),
        "line 10 is damaged": releases.release([FILES[0], FILES[0]]),
        "line 9 is damaged": _signed_as(
            releases,
            [
                *(f"{n} {v}" for n, v in HEAD.items()),
                "",
                f"egiz_edge/a.py 0 {'g' * 64}",
            ],
        ),
    }
    assert verdicts(list(cases.values())) == list(cases)
    # A status carries the reason: printable ASCII of 64 characters at most.
    assert all(len(reason) <= 64 and reason.isascii() for reason in cases)


def test_a_path_that_leads_out_of_a_slot_is_refused_though_it_is_signed(
    releases, verdicts
):
    found = verdicts([releases.release([(path, b"x")]) for path in HOSTILE])
    for path, reason in zip(HOSTILE, found, strict=True):
        assert reason in {"line 9: no file of a slot", "line 9 is damaged"}, path


def test_the_firmware_has_only_paths_and_versions_that_a_release_may_have():
    made = make()
    lines = made.manifest.decode().partition("\n\n")[2].splitlines()
    paths = [line.split(" ")[0] for line in lines]
    assert {"egiz_edge/__init__.mpy", "egiz_edge/0.pack"} < set(paths)
    assert all(is_path(path) for path in paths)
    assert is_version(made.version)
    assert not any(map(is_version, ["", ".", "-1", "a/b", "1" * 33, "1 2", "Ä"]))


def test_openssl_makes_the_same_signature_and_agrees_that_it_fits(releases, tmp_path):
    manifest = tmp_path / "manifest"
    manifest.write_bytes(make().manifest)
    signature = releases.signature(manifest.read_bytes())
    key = ["-passin", f"pass:{PASSPHRASE.decode()}"]
    private = str(releases.directory / "r1.pem")
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", *key, "-sign", private, str(manifest)],
        capture_output=True,
        check=True,
    ).stdout
    assert made == signature
    public = tmp_path / "public.pem"
    command = ["openssl", "pkey", *key, "-in", private, "-pubout", "-out", str(public)]
    subprocess.run(command, check=True)
    (tmp_path / "signature").write_bytes(signature)
    checked = ["-verify", str(public), "-signature", str(tmp_path / "signature")]
    subprocess.run(["openssl", "dgst", "-sha256", *checked, str(manifest)], check=True)


def test_the_whole_firmware_is_verified_on_a_heap_of_32_kb(
    releases, micropython, firmware, tmp_path
):
    path = tmp_path / "whole.egz"
    path.write_bytes(releases.signed(make()))
    said = releases.on_device(micropython, firmware, [path], heap="32k", floor=0)
    assert said == ["sound"]


CHECK_BOARD = """
import sys
from egiz_edge.ota.release import BOOT, Release
with open(sys.argv[1], "rb") as file:
    release = Release(file, None)
    release.check_board(sys.platform, sys.implementation._mpy, BOOT, 0)
print(release.target, *release.mpy)
"""


def test_a_virtual_board_says_that_it_can_run_a_release_that_is_made_for_it(
    micropython, firmware, tmp_path
):
    made = make(target="linux")
    path = tmp_path / "virtual.egz"
    path.write_bytes(made.signed())
    assert micropython.run(CHECK_BOARD, str(path), path=[firmware]) == "linux 6 0\n"
    # Tracebacks have the names of the modules.
    assert b"egiz_edge.ports.virtual_wifi" in made.files
    assert b"egiz_edge.ports.esp32_wifi" not in made.files


def test_the_same_sources_give_the_same_bytes_on_every_machine(releases, tmp_path):
    (tmp_path / "passphrase").write_bytes(b"\xef\xbb\xbf" + PASSPHRASE + b"\r\n")
    made = set()
    for number, (umask, locale) in enumerate([("022", "C"), ("077", "C.UTF-8")]):
        command = (
            f"umask {umask}; {own_program('egiz-edge')} release --out {number}"
            f" --key {releases.directory}/r1.pem --passphrase-file passphrase"
        )
        env = {"LC_ALL": locale, "PYTHONHASHSEED": str(number), "TZ": f"X{number}"}
        path = f"{Path(own_program('egiz-edge')).parent}:/usr/bin:/bin"
        subprocess.run(
            ["sh", "-c", command],
            env={**env, "PATH": path, "PYTHONUTF8": "0"},
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        made.add((tmp_path / str(number) / "0.1.0.egz").read_bytes())
    assert len(made) == 1
