"""`egiz-edge deploy` and `monitor`: the real mpremote, a real interpreter, littlefs."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import egiz_edge_tools.deploy as deploy_module
import egiz_edge_tools.remote as remote_module
import pytest
import serial
from click.testing import CliRunner
from egiz_edge_tools.bundle import build
from egiz_edge_tools.cli import main
from egiz_edge_tools.packing import compose
from egiz_edge_tools.release import make
from rig.device import Device
from rig.releases import Releases
from rig.umqtt import with_context
from rig.waiting import eventually

SELECTOR = b"# the selector"
OLD = {  # of the version in slot a, as path in the slot
    "egiz_edge/app.mpy": b"old app",
    "egiz_edge/drivers/pzem.mpy": b"old driver" * 100,
    "egiz_edge/gone.mpy": b"of the old version only",
    "egiz_schema/limits.mpy": b"limits",
}
NEW = {
    "egiz_edge/app.mpy": b"new app" * 300,
    "egiz_edge/drivers/pzem.mpy": bytes(range(256)) * 20,
    "egiz_edge/fresh.mpy": b"\0" * 3000,
    "egiz_schema/limits.mpy": b"limits",
}
COUNTING = b"""
import time
n = 0
while True:
    n += 1
    print("n", n)
    time.sleep(0.05)
"""


def described(content, version="1.2.3", mpy="6 0"):
    """Content of the file `release` of a slot."""
    head = ["egiz 1", f"version {version}", "security 0", "target linux"]
    head += [f"mpy {mpy}", "boot 1", "keys 0", ""]
    return compose(version, head, sorted(content.items())).head()


@pytest.fixture
def bundle(tmp_path):
    """A factory of bundles: path in the slot -> content."""

    def make(content, mpy="6 0"):
        directory = tmp_path / hashlib.sha256(repr(content).encode()).hexdigest()[:8]
        held = content | {"release": described(content, mpy=mpy)}
        for path, data in held.items():
            (directory / "slot" / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / "slot" / path).write_bytes(data)
        (directory / "main.py").write_bytes(SELECTOR)
        return directory

    return make


def in_slot(slot, content):
    """Path on the board -> content."""
    return {f"{slot}/{path}": data for path, data in content.items()}


def whole(slot, content, version="1.2.3"):
    """What a board has that runs this slot."""
    held = content | {"release": described(content, version)}
    return in_slot(slot, held) | {
        "main.py": SELECTOR,
        "slot": f"{slot} - 0 by cable".encode(),
    }


AN_OLD_ONE = whole("a", OLD, "1.2.2")


def deploy(board, directory, *options):
    """(exit code, output)"""
    command = ["deploy", "--port", board.port, "--bundle", str(directory), *options]
    done = CliRunner().invoke(main, command)
    return done.exit_code, done.output


def mpremote(board, *commands):
    command = [sys.executable, "-m", "mpremote", "connect", board.port, "resume"]
    done = subprocess.run([*command, *commands], check=True, capture_output=True)
    return done.stdout.decode()


def copied(output):
    return re.findall(r"^ +\d+/\d+  (\S+)", output, re.MULTILINE)


def test_the_firmware_reaches_a_board_and_is_started_there(serial_board, launch):
    board = serial_board()
    running = launch("egiz-edge", "deploy", "--arch", "host", "--port", board.port)
    assert running.wait(90) == 0, running.output()
    assert "the board has no settings yet; --settings FILE" in running.output()
    assert "they go into slot /a; what runs stays whole" in running.output()
    eventually(lambda: board.boots == 2)  # it was restarted
    paths = {f"a/{path}" for path in copied(running.output())}
    assert {"a/egiz_edge/__init__.mpy", "a/egiz_edge/0.pack"} < paths
    assert {*paths, "a/release", "main.py", "slot"} == set(board.files())
    assert board.files()["slot"] == b"a - 0 by cable"
    eventually(lambda: "no settings yet: egiz-edge deploy" in board.console)


def test_a_release_reaches_a_board_and_what_it_holds_is_in_its_slot(
    serial_board, tmp_path
):
    board = serial_board(files=AN_OLD_ONE)
    made = make(target="linux", version="7.7.7")
    (tmp_path / "7.7.7.egz").write_bytes(made.signed())
    command = ["deploy", "--port", board.port, "--release", str(tmp_path / "7.7.7.egz")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "restarted, with firmware 7.7.7" in done.output
    files = board.files()
    assert files["b/release"] == made.head()
    lines = files["b/release"].decode().splitlines()
    entries = [line.split() for line in lines[lines.index("") + 1 :]]
    assert len(entries) > 30
    for path, size, sha256 in entries:
        content = files.pop(f"b/{path}")
        assert (str(len(content)), hashlib.sha256(content).hexdigest()) == (
            size,
            sha256,
        )
    assert {path: files[path] for path in in_slot("a", OLD)} == in_slot("a", OLD)
    assert files["slot"] == b"b - 0 by cable"


@pytest.mark.parametrize(
    ("cut", "added", "reason"),
    [
        (0, b"", "not a release"),
        (0, b"<html>", "not a release"),
        (-9, b"", "cut short"),
        (None, b"<html>", "too long"),
    ],
)
def test_what_is_no_sound_release_is_refused_before_the_board_is_stopped(
    tmp_path, cut, added, reason
):
    path = tmp_path / "1.egz"
    path.write_bytes(make(target="linux").signed()[:cut] + added)
    command = ["deploy", "--port", "/dev/ttyEGIZ9", "--release", str(path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert f"{path}: {reason}" in done.output


def test_firmware_for_another_board_is_refused(serial_board):
    board = serial_board(files=AN_OLD_ONE)
    done = CliRunner().invoke(main, ["deploy", "--port", board.port])
    assert done.exit_code == 1
    assert "this firmware is for esp32, the board is linux" in done.output
    assert board.files() == AN_OLD_ONE


def test_a_board_of_before_there_were_slots_gets_one_and_its_old_files_go(
    serial_board, bundle
):
    old = {f"lib/{path}": data for path, data in OLD.items()}
    others = {"manifest.json": b"{}", "main.py": b"# old", "lib/mine.py": b"1"}
    others |= {".deploy/lib~egiz_edge~app.mpy": b"torn", "data/boots": b"5 crash"}
    board = serial_board(files=old | others)
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert "3 files to copy, 1 are there" in output
    assert board.files() == whole("a", NEW) | {"lib/mine.py": b"1"}


# esp32.NVS, in a file: MicroPython's unix port has none.
ESP32 = b"""
class NVS:
    def __init__(self, name):
        self._path = "/nvs_" + name + "_"
    def get_blob(self, key, buffer):
        with open(self._path + key, "rb") as file:
            return file.readinto(buffer)
    def set_blob(self, key, value):
        with open(self._path + key, "wb") as file:
            file.write(value)
    def commit(self):
        pass
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Public ones alone, as a machine that deploys has them."""
    made = Releases(tmp_path_factory.mktemp("made") / "keys").directory
    directory = tmp_path_factory.mktemp("public")
    for name in ("keys", "root.modulus"):
        (directory / name).write_bytes((made / name).read_bytes())
    return directory


def test_a_board_gets_the_keys_with_which_it_verifies_releases(
    serial_board, bundle, keys
):
    board = serial_board(files=AN_OLD_ONE | {"esp32.py": ESP32, "keys": b"older"})
    for root in ("new", "as before"):
        code, output = deploy(board, bundle(NEW), "--keys", str(keys))
        assert code == 0, output
        assert f"root key: {root}; key set 1" in output
    files = board.files()
    assert files["keys"] == (keys / "keys").read_bytes()
    assert files["nvs_egiz_root"] == (keys / "root.modulus").read_bytes().strip()
    assert "keys.new" not in files
    code, _ = deploy(board, bundle(NEW))  # without the option they stay
    assert (code, board.files()["keys"]) == (0, files["keys"])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("keys", None, "No such file or directory"),
        ("keys", b"<html>", "not a key set"),
        ("root.modulus", b"12", "not the 768 hexadecimal digits of a root key"),
    ],
)
def test_keys_that_are_none_are_refused_before_the_board_is_stopped(
    keys, bundle, tmp_path, name, content, reason
):
    directory = tmp_path / "keys"
    shutil.copytree(keys, directory)
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_bytes(content)
    options = ["--bundle", str(bundle(NEW)), "--keys", str(directory)]
    command = ["deploy", "--port", "/dev/ttyEGIZ9", *options]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert f"{directory / name}: {reason}" in done.output


SETTINGS = {
    "facility": "bakery",
    "device_id": "oven-001",
    "broker": "broker.lan",
    "wifi_ssid": "Factory-IoT",
    "wifi_password": "Secret-1",
}


def test_settings_are_deployed_and_kept_when_none_are_given(
    serial_board, bundle, tmp_path
):
    board = serial_board(files=AN_OLD_ONE)
    path = tmp_path / "oven-001.json"
    path.write_text(json.dumps(SETTINGS | {"tls": {"ca": "ca.der"}}))
    (tmp_path / "ca.der").write_bytes(b"0of DER")
    for line in ("its settings are new", "its settings are these already"):
        code, output = deploy(board, bundle(NEW), "--settings", str(path))
        assert code == 0, output
        assert line in output
        assert "Secret" not in output
    code, output = deploy(board, bundle(NEW))
    assert (code, "settings" in output) == (0, False), output
    given = {"settings.json": path.read_bytes(), "ca.der": b"0of DER"}
    assert board.files() == AN_OLD_ONE | whole("b", NEW) | given


def test_what_was_issued_to_a_device_is_deployed_and_connects_it(
    serial_board, bundle, secure_mosquitto, micropython, hardware, tmp_path
):
    del micropython  # whether there is an interpreter
    shared = {key: SETTINGS[key] for key in ("wifi_ssid", "wifi_password")}
    shared |= {"broker": "localhost", "port": secure_mosquitto.device_port}
    path = tmp_path / "shared.json"
    path.write_text(json.dumps(shared))
    secure_mosquitto.infra("issue", "device", "oven-001", "--settings", str(path))
    secure_mosquitto.start()
    issued = secure_mosquitto.layout.issued / "oven-001/settings.json"
    board = serial_board()
    code, output = deploy(board, bundle(NEW), "--settings", str(issued))
    assert code == 0, output
    for name, data in board.files().items():
        (tmp_path / "flash" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "flash" / name).write_bytes(data)
    given = json.loads((tmp_path / "flash/settings.json").read_text())
    address = (given["broker"], given["port"])
    tls = {key: str(tmp_path / "flash" / name) for key, name in given["tls"].items()}
    assert given["facility"] == "factory"  # as the device below
    (tmp_path / "run").mkdir()
    flash = tmp_path / "run"
    device = Device(address, flash, hardware, given["device_id"], tls=tls)
    try:
        eventually(lambda: "connected" in device.output)
        assert device.stop()["unacked"] == 0
    finally:
        if device.is_running():
            device.kill()


def test_for_a_certificate_in_pem_the_conversion_to_der_is_shown(bundle, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(SETTINGS | {"tls": {"ca": "ca.pem"}}))
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    command = ["deploy", "--port", "/dev/ttyEGIZ9", "--bundle", str(bundle(NEW))]
    done = CliRunner().invoke(main, [*command, "--settings", str(path)])
    assert done.exit_code == 2
    assert "tls.ca: " in done.output
    assert "ca.pem is not DER; `openssl x509 -outform der`" in done.output


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"facility": "a/b"}, "facility: must be a facility of the topics"),
        ({"device_id": "Oven"}, "device_id: must be type-unit"),
        ({"device_id": None}, "device_id: must be type-unit"),
        ({"broker": "broker.lan:1883"}, "broker: must be a host name or address"),
        ({"port": "1883"}, "port: must be a number, 1 to 65535"),
        ({"brokr": "x"}, "brokr: there is no such setting"),
        ({"thermocouples": [["max31856", "tc_0"]]}, "thermocouples: must be pairs"),
        ({"wifi_password": 12345678}, "wifi_password: must be 8 to 63 bytes"),
        ({"wifi_password": "x" * 64}, "wifi_password: must be 8 to 63 bytes"),
        ({"tls": {"cert": "x.der"}}, "tls: must be an object with ca"),
        ({"tls": {"ca": "/etc/ca.der"}}, "tls.ca: the name of a file beside this"),
        ({"tls": {"ca": "ca.der"}}, "tls.ca: "),
        (None, "must be a JSON object"),
        ("{", "not JSON"),
        ('{"port": NaN}', "not JSON: NaN is no number of JSON"),
        ('{"tls": {"ca": "a", "ca": "b"}}', "'ca' stands there twice: remove one"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        ("\ufeff{}", "not UTF-8 without a byte order mark: save it so"),
        ("{}".encode("utf-16"), "not UTF-8 without a byte order mark: save it so"),
        (b"", "No such file"),
    ],
)
def test_settings_with_which_a_device_cannot_start_are_refused(
    bundle, tmp_path, change, reason
):
    path = tmp_path / "settings.json"
    if isinstance(change, str):
        path.write_text(change)
    elif isinstance(change, bytes) and change:
        path.write_bytes(change)
    elif change != b"":
        path.write_text(json.dumps(change and SETTINGS | change))
    command = ["deploy", "--port", "/dev/ttyEGIZ9", "--bundle", str(bundle(NEW))]
    done = CliRunner().invoke(main, [*command, "--settings", str(path)])
    assert done.exit_code == 2
    assert f"Error: {path}: {reason}" in done.output
    assert "12345678" not in done.output


def test_only_what_differs_is_copied_and_leftover_files_are_removed(
    serial_board, bundle
):
    others = {"b/egiz_edge/app.py": b"imported before an .mpy", "store_boot": b"7"}
    board = serial_board(files=AN_OLD_ONE | others)
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert "3 files to copy, 1 are there" in output  # that of the other slot
    assert copied(output) == sorted(set(NEW) - {"egiz_schema/limits.mpy"})
    expected = AN_OLD_ONE | whole("b", NEW) | {"store_boot": b"7"}
    assert board.files() == expected
    code, output = deploy(board, bundle(NEW))
    assert (code, copied(output)) == (0, [])
    assert "0 files to copy, 4 are there" in output
    eventually(lambda: board.boots == 3)
    assert board.files() == expected


def test_each_deploy_of_a_new_version_goes_into_the_other_slot(serial_board, bundle):
    board = serial_board(files=AN_OLD_ONE)
    newer = NEW | {"egiz_edge/app.mpy": b"newer"}
    for content in (NEW, newer):
        code, output = deploy(board, bundle(content))
        assert code == 0, output
    assert copied(output) == ["egiz_edge/app.mpy"]
    assert board.files() == whole("b", NEW) | whole("a", newer)


def test_a_trial_gives_way_to_what_comes_by_cable(serial_board, bundle):
    trial = whole("b", {"egiz_edge/app.mpy": b"trial"}) | {"slot": b"a b 2 order"}
    board = serial_board(files=AN_OLD_ONE | trial)
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert board.files() == AN_OLD_ONE | whole("b", NEW)


def test_the_crashes_of_the_old_version_do_not_count_for_the_new_one(
    serial_board, bundle
):
    board = serial_board(files=AN_OLD_ONE | {"data/boots": b"5 crash: of the old one"})
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert "data/boots" not in board.files()


def test_a_file_that_was_damaged_on_the_board_is_copied_again(serial_board, bundle):
    damaged = whole("a", NEW) | {"a/egiz_edge/app.mpy": b"new app"}
    board = serial_board(files=damaged)
    code, output = deploy(board, bundle(NEW))
    assert (code, copied(output)) == (0, ["egiz_edge/app.mpy"])
    assert board.files() == damaged | whole("b", NEW)


def test_a_selector_alone_is_replaced_and_the_slot_stays_whole(serial_board, bundle):
    board = serial_board(files=whole("a", NEW) | {"main.py": b"# of before"})
    code, output = deploy(board, bundle(NEW))
    assert (code, copied(output)) == (0, [])
    assert board.files() == whole("a", NEW)


@pytest.mark.parametrize("cut_at", [2500, 14_000])
def test_a_cut_cable_leaves_the_old_firmware_whole_and_the_next_goes_on(
    serial_board, bundle, cut_at
):
    board = serial_board(files=AN_OLD_ONE)
    board.cut_after(cut_at)
    code, output = deploy(board, bundle(NEW))
    assert code == 1
    assert not board.is_plugged_in()
    assert f"{board.port}: the connection was lost" in output
    assert "Check the cable and give the same command again" in output
    assert "Traceback" not in output
    assert {path: board.files()[path] for path in AN_OLD_ONE} == AN_OLD_ONE
    progress = re.search(r"(\d) of 3 files had arrived", output)
    arrived = int(progress[1]) if progress else 0  # cut before the first copy
    board.plug_in()
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert len(copied(output)) == 3 - arrived
    assert board.files() == AN_OLD_ONE | whole("b", NEW)


def test_a_file_that_was_damaged_in_transfer_does_not_make_a_slot_whole(
    serial_board, bundle
):
    directory = bundle(NEW)
    manifest = (directory / "slot/release").read_bytes()
    sent = {path: data[:-1] for path, data in NEW.items()} | {"release.new": manifest}
    board = serial_board(files=AN_OLD_ONE | in_slot("b", sent))
    hashes = [hashlib.sha256(data).hexdigest() for data in (manifest, SELECTOR)]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        mpremote(
            board,
            *("run", str(remote_module.ON_BOARD)),
            *("+", "exec", f"commit('/b', {hashes[0]!r}, {hashes[1]!r})"),
        )
    assert b"damaged in transfer: /b/egiz_" in failed.value.stdout
    assert board.files() == AN_OLD_ONE | in_slot("b", sent)


def test_running_firmware_is_stopped_and_started_again(serial_board, bundle):
    full = b"held = bytearray(48_000)  # of a heap of 64 KB"
    board = serial_board(files=AN_OLD_ONE | {"main.py": full + COUNTING})
    eventually(lambda: "n 3\n" in board.console)
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert "KeyboardInterrupt" in board.console
    eventually(lambda: board.boots == 2)
    assert board.files() == AN_OLD_ONE | whole("b", NEW)


def test_a_board_in_safe_mode_that_cannot_connect_is_mended_by_cable(
    serial_board, umqtt, tmp_path
):
    bundle = build(tmp_path / "made", "host")
    on_board = {f"a/{file.path}": bundle.slot / file.path for file in bundle.files}
    on_board |= {"a/release": bundle.release, "main.py": bundle.selector}
    on_board["lib/umqtt/simple.py"] = (
        with_context(Path(shutil.copytree(umqtt, tmp_path / "stock"))) / "simple.py"
    )
    files = {path: file.read_bytes() for path, file in on_board.items()}
    tls = SETTINGS | {"tls": {"ca": "ca.der"}}
    files |= {"settings.json": json.dumps(tls).encode(), "ca.der": b"damaged"}
    files |= {"slot": b"a - 0 by cable", "data/boots": b"5 crash: test"}
    board = serial_board(files=files)
    eventually(lambda: "tls: ca cannot be used: invalid cert" in board.console)
    path = tmp_path / "oven-001.json"
    path.write_text(json.dumps(SETTINGS))
    code, output = deploy(board, tmp_path / "made", "--settings", str(path))
    assert code == 0, output
    assert "its settings are new" in output
    eventually(lambda: board.boots >= 2)  # it was restarted
    assert board.console.count("safe mode: crash: test") == 1  # the app is tried


def test_a_flash_that_is_too_small_is_reported_before_anything_is_copied(
    serial_board, bundle
):
    board = serial_board(blocks=9)
    code, output = deploy(board, bundle(NEW))
    assert code == 1
    assert re.search(r"room: \d+ KB are free on its flash, 44 KB are needed", output)
    assert f"mpremote connect {board.port} fs tree -s" in output
    assert board.files() == {}


def test_a_flash_that_fills_up_is_reported_and_the_deploy_resumed(
    serial_board, bundle, monkeypatch
):
    board = serial_board(blocks=24, files={"big": b"x" * 77_000})
    monkeypatch.setattr(deploy_module, "_BLOCKS_FOR_DIRECTORIES", -99)
    code, output = deploy(board, bundle(NEW))
    assert code == 1
    assert f"{board.port}: the board's flash is full" in output
    assert "Traceback" not in output
    arrived = int(re.search(r"(\d) of 4 files had arrived", output)[1])
    mpremote(board, "rm", ":/big")
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert len(copied(output)) == 4 - arrived
    assert board.files() == whole("a", NEW)


def test_a_bundle_for_another_interpreter_is_refused(serial_board, bundle):
    board = serial_board()
    code, output = deploy(board, bundle(NEW, mpy="5 0"))
    assert code == 1
    assert "its MicroPython 1.29.0 cannot load this firmware" in output
    assert "it reads .mpy version 6, the firmware has 5" in output
    assert board.files() == {}


def _silent(monkeypatch):
    """A port at which nothing answers."""
    monkeypatch.setattr(remote_module, "ANSWER_S", 1.0)
    return os.ttyname(os.openpty()[1])


def _absent(_monkeypatch):
    return "/dev/ttyEGIZ9"


def _file(_monkeypatch):
    return __file__


def _relative_file(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    return Path(__file__).name


def _forbidden(monkeypatch):
    monkeypatch.setattr(remote_module.os, "access", lambda *_: False)
    return os.ttyname(os.openpty()[1])


def _in_use(_monkeypatch):
    port = os.ttyname(os.openpty()[1])
    _in_use.holder = serial.Serial(port, exclusive=True)
    return port


@pytest.mark.parametrize("command", ["deploy", "monitor"])
@pytest.mark.parametrize(
    ("made", "cause", "fix"),
    [
        (_absent, "there is no such port", "No board is connected"),
        (_file, "it is no serial port, but a file", "doctor` lists the serial ports"),
        (_relative_file, "it is no serial port", "doctor` lists the serial ports"),
        (_forbidden, "you may not use it", "usermod -aG dialout"),
        (_in_use, "another program has it open", "fuser"),
    ],
)
def test_a_port_that_cannot_be_used_is_explained(
    monkeypatch, command, made, cause, fix
):
    monkeypatch.setattr(remote_module, "serial_ports", list)
    port = made(monkeypatch)
    done = CliRunner().invoke(main, [command, "--port", port])
    assert done.exit_code == 1
    assert f"Error: {port}: {cause}" in done.output
    assert fix in done.output
    assert "Traceback" not in done.output


def test_ports_that_are_there_are_listed_for_one_that_is_not(monkeypatch):
    monkeypatch.setattr(
        remote_module, "serial_ports", lambda: ["/dev/ttyUSB0 (CP2102N)"]
    )
    done = CliRunner().invoke(main, ["deploy", "--port", "/dev/ttyUSB1"])
    assert "There are: /dev/ttyUSB0 (CP2102N)" in done.output


def test_a_port_without_a_board_is_reported_in_time(monkeypatch, bundle):
    port = _silent(monkeypatch)
    done = CliRunner().invoke(
        main, ["deploy", "--port", port, "--bundle", str(bundle(NEW))]
    )
    assert done.exit_code == 1
    assert f"{port}: the board does not answer" in done.output
    assert "press the board's EN button" in done.output


def test_a_board_that_is_starting_is_asked_once_more(serial_board, bundle, monkeypatch):
    monkeypatch.setattr(remote_module, "ANSWER_S", 5.0)
    board = serial_board()
    board.lose(len(b"\r\x03\r\x01"))  # how mpremote asks for the raw prompt
    code, output = deploy(board, bundle(NEW))
    assert code == 0, output
    assert "does not answer; once more, it may be starting" in output
    assert "restarted, with firmware" in output


def test_an_interrupted_deploy_ends_immediately_and_says_what_is_installed(
    serial_board, launch
):
    board = serial_board()
    running = launch("egiz-edge", "deploy", "--arch", "host", "--port", board.port)
    running.wait_for("2/")
    assert running.interrupt() == 130
    assert "The old firmware is as it was, but stopped" in running.output()
    assert "Traceback" not in running.output()
    assert not {"slot", "main.py", "a/release"} & set(board.files())


def test_the_monitor_shows_what_the_board_prints_and_does_not_stop_it(
    serial_board, launch
):
    board = serial_board(files={"main.py": COUNTING})
    running = launch("egiz-edge", "monitor", "--port", board.port)
    running.wait_until(lambda: len(re.findall(r"n \d+", running.output())) >= 10)
    assert running.interrupt() == 0
    lines = running.output().splitlines()
    numbers = [int(line.split()[-1]) for line in lines if " n " in line]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert re.fullmatch(r"\d\d:\d\d:\d\d  n \d+", lines[-1])
    before = board.console.count("n ")
    eventually(lambda: board.console.count("n ") > before + 3)  # it goes on
    assert "KeyboardInterrupt" not in board.console


def test_the_monitor_reports_a_lost_connection(serial_board, launch):
    board = serial_board()
    running = launch("egiz-edge", "monitor", "--port", board.port)
    eventually(lambda: _is_open(board.port))
    board.unplug()
    assert running.wait() == 1
    assert f"{board.port}: the connection was lost" in running.output()


def _is_open(port):
    """Whether a program has it open; to try that here would keep the program out."""
    for opened in Path("/proc").glob("[0-9]*/fd/*"):
        is_ours = opened.parts[2] == str(os.getpid())  # the end of the board
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            if not is_ours and opened.readlink() == Path(port):
                return True
    return False


def test_what_is_ended_from_outside_leaves_no_mpremote_at_the_port(launch):
    board, port = os.openpty()  # one that is silent
    name = os.ttyname(port)
    running = launch("egiz-edge", "label", "--port", name)

    def at_the_port():
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has just ended
                words = process.read_text(errors="replace").split("\0")
                if "mpremote" in words and name in words:
                    return True
        return False

    running.wait_until(at_the_port)
    assert running.terminate() == -signal.SIGTERM
    eventually(lambda: not at_the_port())
    os.close(board)
    os.close(port)
