"""Safe mode with stock umqtt.simple: what leads out, and what must not hold it."""

import json
import shutil
import time

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools.bundle import stage
from egiz_schema import Command, Topic, encode
from rig import updates
from rig.device import DEVICE
from rig.rollouts import CRASHES, Rollouts
from rig.waiting import eventually

COMMAND = Topic("factory", DEVICE, "command")


@pytest.fixture
def crashed(device, tmp_path, umqtt, monkeypatch):
    """A factory of devices that have crashed five times, and would run now.

    A module of their firmware is replaced by given lines.
    """
    replaced = {}

    def staged(directory, *_):
        stage(directory, replaced=replaced)
        shutil.copytree(umqtt / "umqtt", directory / "umqtt")

    def make(broker, **modules):
        replaced.update({f"egiz_edge/{name}.py": modules[name] for name in modules})
        data = tmp_path / f"flash-{DEVICE}" / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "boots").write_text("5 crash: test")
        return device(broker)

    monkeypatch.setattr(board_module, "stage", staged)
    return make


def _statuses(live, state):
    return [m for m in live.messages(DEVICE, "status") if m.state == state]


def _answer(live, command_id):
    return eventually(lambda: _answers(live, command_id))[0]


def _answers(live, command_id):
    """Result and error of each answer; the app repeats its last one."""
    given = [m.last_command for m in live.messages(DEVICE, "status") if m.last_command]
    return [(one.result, one.error) for one in given if one.id == command_id]


def _send(live, command_id, action="identify", **more):
    command = Command(device_id=DEVICE, id=command_id, action=action, **more)
    live.publish(COMMAND, encode(command))


RUBBISH = {
    "numbers": {"device_id": DEVICE, "id": 5, "action": "reboot"},
    "nested": {"device_id": DEVICE, "id": ["x", {"y": 1}], "action": {"z": [1]}},
    "null": {"device_id": DEVICE, "id": None, "action": None},
    "other": {"device_id": "oven-009", "id": "o", "action": "reboot"},
    "list": [1, 2],
    "text": "reboot",
    "number": 7,
    "long": {"device_id": DEVICE, "id": "x" * 3000, "action": "r" * 900},
}


@pytest.mark.parametrize("retain", [False, True], ids=["", "retained"])
def test_whatever_comes_as_a_command_is_answered_or_ignored_and_the_next_obeyed(
    crashed, mosquitto, live, retain
):
    if retain:
        live.publish(COMMAND, b"\xff\x00" * 900, retain=True)
    running = crashed(mosquitto)
    eventually(lambda: _statuses(live, "safe_mode"))
    for rubbish in (b"", b"{", b"\xff" * 40, *map(_encoded, RUBBISH.values())):
        live.publish(COMMAND, rubbish, retain=retain)
    _send(live, "c1")
    reason = "safe mode: reboot, ota and rollback only"
    assert _answer(live, "c1") == ("refused", reason)
    assert _answer(live, "5") == ("refused", "id: not a text")
    answered = [
        m.last_command.id for m in _statuses(live, "safe_mode") if m.last_command
    ]
    assert len(answered) == len(set(answered))
    if retain:
        live.publish(COMMAND, b"", retain=True)
    _send(live, "c2", "reboot")
    assert _answer(live, "c2") == ("done", None)
    eventually(lambda: live.messages(DEVICE, "telemetry"))
    born = _statuses(live, "online")[0]
    assert born.reset_cause == "reboot: safe_mode"
    assert sum(line.startswith("safe mode: crash") for line in running.output) == 1


def _encoded(value):
    return json.dumps(value).encode()


def test_a_retained_reboot_is_obeyed_once(crashed, device, mosquitto, live, tmp_path):
    payload = _encoded({"device_id": DEVICE, "id": "again", "action": "reboot"})
    live.publish(COMMAND, payload, retain=True)
    first = crashed(mosquitto)
    assert _answer(live, "again") == ("done", None)
    eventually(lambda: live.messages(DEVICE, "telemetry"))
    first.kill()
    (tmp_path / f"flash-{DEVICE}" / "data" / "boots").write_text("5 crash: second")
    device(mosquitto)
    eventually(lambda: ("refused", "repeated") in _answers(live, "again"))
    said = [m.last_command for m in _statuses(live, "safe_mode") if m.last_command]
    assert [one.result for one in said] == ["done", "refused"]


def test_a_damaged_id_of_the_last_command_keeps_no_command_from_being_obeyed(
    crashed, mosquitto, live, tmp_path
):
    running = crashed(mosquitto)
    eventually(lambda: _statuses(live, "safe_mode"))
    last = tmp_path / f"flash-{DEVICE}" / "data" / "safe_mode_id"
    for command_id, damaged in (("c1", b"\xff" * 40), ("c2", b"1" * 300000)):
        last.write_bytes(damaged)
        _send(live, command_id, "rollback", args={"confirm": DEVICE})
        assert _answer(live, command_id) == ("refused", "no other version")
    assert sum(line.startswith("safe mode: ") for line in running.output) == 1


def test_a_broker_that_hangs_does_not_hold_the_device_in_safe_mode(
    crashed, mosquitto, live, proxy, hardware
):
    hardware.watchdog_s = 3.0
    between = proxy(mosquitto.host, mosquitto.port)
    between.pause()
    running = crashed(between)
    # The watchdog ends the wait; the app, which measures and buffers, is tried.
    eventually(lambda: any("no broker" in line for line in running.output), 90)
    assert running.output[0] == "safe mode: crash: test"
    between.cut()
    between.resume()
    born = eventually(lambda: _statuses(live, "online"))[0]
    assert born.boot == 1
    assert [m for m in live.messages(DEVICE, "status") if m.state == "safe_mode"] == []


HANGS = """
def obey(*_):
    while True:
        pass
"""


@pytest.mark.parametrize("boots", ["5 crash: again", "0 "], ids=["safe mode", "app"])
def test_a_command_that_is_cut_by_power_leaves_a_word_of_it(
    crashed, device, mosquitto, live, tmp_path, boots
):
    running = crashed(mosquitto, safe_orders=HANGS)
    data = tmp_path / f"flash-{DEVICE}" / "data"
    eventually(lambda: _statuses(live, "safe_mode"))
    _send(live, "c1", "rollback", args={"confirm": DEVICE})
    eventually((data / "safe_mode_id").exists)
    running.kill()
    (data / "boots").write_text(boots)
    device(mosquitto)
    assert _answer(live, "c1") == ("failed", "interrupted")
    assert live.rejected == []


def test_the_app_repeats_the_last_answer_of_safe_mode_and_then_its_own(
    crashed, mosquitto, live, tmp_path
):
    crashed(mosquitto)
    eventually(lambda: _statuses(live, "safe_mode"))
    _send(live, "c1", "reboot")
    born = eventually(lambda: _statuses(live, "online"))[0]
    assert (born.last_command.id, born.last_command.result) == ("c1", "done")
    _send(live, "c2", "reboot")
    eventually(lambda: _answers(live, "c2")[1:])  # it reboots after the first
    assert set(_answers(live, "c2")) == {("done", None)}
    assert [m.last_command.id for m in _statuses(live, "online")][-1] == "c2"
    assert not (tmp_path / f"flash-{DEVICE}" / "data" / "safe_mode_answer").exists()


@pytest.mark.parametrize("damaged", [b"\xff" * 40, b"7", b"{" * 300_000])
def test_a_damaged_answer_keeps_neither_safe_mode_nor_the_app_from_running(
    device, crashed, mosquitto, live, tmp_path, damaged
):
    data = tmp_path / f"flash-{DEVICE}" / "data"
    data.mkdir(parents=True)
    (data / "safe_mode_answer").write_bytes(damaged)
    running = crashed(mosquitto)
    (said,) = eventually(lambda: _statuses(live, "safe_mode"))
    assert said.last_command is None
    running.kill()
    (data / "boots").unlink()
    device(mosquitto)
    born = eventually(lambda: _statuses(live, "online"))[0]
    assert born.last_command is None
    assert not (data / "safe_mode_answer").exists()
    assert live.rejected == []


def test_a_power_cut_leads_out_of_safe_mode(crashed, device, mosquitto, live):
    running = crashed(mosquitto)
    eventually(lambda: _statuses(live, "safe_mode"))
    running.kill()
    device(mosquitto)
    born = eventually(lambda: _statuses(live, "online"))[0]
    assert born.reset_cause == "power_on"
    eventually(lambda: live.messages(DEVICE, "telemetry"))


@pytest.fixture
def crashing(device, mosquitto, tmp_path, umqtt, monkeypatch):
    """A device with a firmware that crashes at each start, and releases for it."""
    rollouts = Rollouts(tmp_path / "rollouts", {"egiz_edge/uplink.py": CRASHES})

    def install(directory, *_):
        rollouts.install(directory)
        shutil.copytree(umqtt / "umqtt", directory / "umqtt")

    monkeypatch.setattr(board_module, "stage", install)
    rollouts.provision(tmp_path / f"flash-{DEVICE}")
    device(mosquitto)
    return rollouts


WRONG = {
    "ota": [
        ({"version": "0.2.0"}, {}, "args.url: missing"),
        ({"version": "0.1.0", "url": "http://u.lan"}, {}, "it is version 0.1.0"),
        (
            {"version": "0.2.0", "url": "http://u.lan", "window": "25:00-x"},
            {},
            "firmware.window: not like 22:00-04:00",
        ),
        (
            {"version": "0.2.0", "url": "http://u.lan", "percent": 0},
            {},
            "not of these 0 percent",
        ),
        (
            {"version": "0.2.0", "url": "http://u.lan"},
            {"expires_at": 1_600_000_000},
            "expired",
        ),
    ],
    "rollback": [
        ({}, {}, "args.confirm: missing"),
        ({"confirm": "oven-009"}, {}, "args.confirm: not the device id"),
        ({"confirm": DEVICE}, {}, "no other version"),
    ],
}


def test_a_release_that_ends_in_safe_mode_is_updated_out_of_it(crashing, live):
    eventually(lambda: _statuses(live, "safe_mode"), 90)
    orders = [(action, *one) for action, given in WRONG.items() for one in given]
    for number, (action, arguments, more, reason) in enumerate(orders):
        _send(live, f"w{number}", action, args=arguments, **more)
        assert _answer(live, f"w{number}") == ("refused", reason)
    server = updates.UpdateServer(updates.file(crashing.release()))
    try:
        arguments = {"version": "0.2.0", "url": server.directory}
        later = int(time.time()) + 600
        _send(live, "u1", "ota", args=arguments, expires_at=later)
        eventually(lambda: _updates(live, "done"), 90)
    finally:
        server.close()
    (ordered, *_) = _updates(live, "updating")
    assert ordered.state == "updating"
    assert (ordered.last_command.id, ordered.last_command.result) == ("u1", "done")
    assert live.messages(DEVICE, "status")[-1].firmware_version == "0.2.0"
    assert live.rejected == []


def _updates(live, state):
    statuses = live.messages(DEVICE, "status")
    return [m for m in statuses if m.ota and m.ota.state == state]
