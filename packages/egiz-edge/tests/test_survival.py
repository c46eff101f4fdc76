"""After a hang, a crash or a boot loop the device runs again, and reports the cause."""

import json
import shutil

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools.bundle import stage
from egiz_schema import Command, Topic, encode
from rig.device import DEVICE
from rig.waiting import eventually

COMMAND = Topic("factory", DEVICE, "command")


@pytest.fixture
def sabotaged(device, hardware, monkeypatch):
    """A factory of devices; a module of their firmware is replaced by given lines."""

    def make(broker, also=None, watchdog_s=30, **replaced):
        def staged(directory, *_):
            paths = {f"egiz_edge/{name}.py": code for name, code in replaced.items()}
            stage(directory, replaced=paths)
            if also is not None:
                shutil.copytree(also / "umqtt", directory / "umqtt")

        monkeypatch.setattr(board_module, "stage", staged)
        hardware.watchdog_s = watchdog_s
        return device(broker)

    return make


def _status_with(live, is_so, timeout=60):
    return live.first(DEVICE, "status", is_so, timeout)


def _measured(live):
    """A reading of a meter, which on a loaded machine may miss a deadline."""
    return live.first(
        DEVICE,
        "telemetry",
        lambda m: (
            m.electrical and m.electrical.voltage and m.electrical.voltage.a == 225.7
        ),
    )


_BRIEF = """
TRIAL_MS, STALL_MS, CONFIRM_MS, RESTART_MS = 120000, 1500, 600000, 100
BLOCKED_MS = 0
"""


def test_a_blocking_call_is_ended_by_the_watchdog_and_the_cause_reported(
    sabotaged, mosquitto, live
):
    # It hangs once: the second boot measures again.
    hangs = """
import os
class Sensors:
    def __init__(self, board, *_, **__):
        self._flag = board.data_directory + "/hung"
    async def found(self):
        return []
    async def sample(self, window):
        try:
            os.stat(self._flag)
        except OSError:
            open(self._flag, "w").close()
            while True:
                pass
        window.state = "running"
"""
    sabotaged(mosquitto, watchdog_s=3, sensors=hangs)
    born = _status_with(live, lambda m: m.boot == 2)
    assert born.reset_cause == "watchdog"
    eventually(
        lambda: any(
            m.boot == 2 and m.status.operational_state == "running"
            for m in live.messages(DEVICE, "telemetry")
        )
    )


def test_a_task_that_waits_for_ever_is_reset_by_the_watchdog_and_named(
    sabotaged, mosquitto, live
):
    waits = """
import asyncio
class Sensors:
    def __init__(self, board, *_, **__):
        pass
    async def found(self):
        return []
    async def sample(self, window):
        await asyncio.Event().wait()
"""
    sabotaged(mosquitto, watchdog_s=5, sensors=waits, timeouts=_BRIEF)
    born = _status_with(live, lambda m: m.boot == 2)
    assert born.reset_cause == "watchdog: sampling stalled"


def test_a_setting_that_cannot_be_used_is_named_and_the_rest_is_measured(
    device, mosquitto, live, monkeypatch
):
    made = board_module._settings  # noqa: SLF001  # no argument makes a mistake
    wrong = {"thermocouples": [["max31856", "tc_0"]], "states": 7, "typo": 1}
    monkeypatch.setattr(
        board_module, "_settings", lambda *_: json.dumps(json.loads(made(*_)) | wrong)
    )
    running = device(mosquitto)
    status = _status_with(live, lambda m: m.health and m.health.fault_codes)
    assert sorted(status.health.fault_codes) == [f"settings:{n}" for n in sorted(wrong)]
    assert (
        "settings.json: thermocouples: must be pairs of max31855 or max6675 and tc_0,"
        " tc_1 or tc_2; it is not used"
    ) in running.output
    assert _measured(live).status.operational_state == "running"


@pytest.mark.parametrize("damaged", ["", "{", "\0\0\0\0", "[]", '{"device_id":1}'])
def test_without_usable_settings_the_console_says_what_to_do(
    device, mosquitto, monkeypatch, damaged
):
    monkeypatch.setattr(board_module, "_settings", lambda *_: damaged)
    running = device(mosquitto)
    eventually(lambda: not running.is_running())
    (line,) = running.output
    assert line.startswith("settings.json: ")
    assert line.endswith("; replace it: egiz-edge deploy --settings")


STORED = ("boot", "time", "config", "command_ids", "last_command", "addresses")
STORED += ("ota", "rollout", "firmware", "floor", "joined", "label", "wrong_pins")
FILES = ("boots", "config.json", "config.new", "outbox/1.seg", "outbox/007.seg")
FILES += ("ota",)
RUBBISH = {
    "zeros": b"\0" * 900,
    "erased": b"\xff" * 900,
    "torn": b'["x',
    "foreign": b'{"id": [1, "two"], "rev": "x", "sampling_rate_ms": "1000"}',
    "number": b"-7",
    "large": b"9" * 30,
    "list": b'[[1], "a", null]',
    "endless": b"1" * 1000,  # and what a file system holds is longer than the heap
}


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_device_with_a_damaged_flash_measures_and_is_reached(
    device, mosquitto, live, tmp_path, rubbish
):
    flash = tmp_path / f"flash-{DEVICE}"
    (flash / "data/outbox/2.seg").mkdir(parents=True)
    for path in (*(f"store_{name}" for name in STORED), *(f"data/{x}" for x in FILES)):
        (flash / path).write_bytes(RUBBISH[rubbish])
    if rubbish == "endless":
        for path in FILES:
            (flash / "data" / path).write_bytes(b"1" * 300000)
    running = device(mosquitto)
    _measured(live)
    _send_command(live, "c1", "identify")
    status = _status_with(live, lambda m: m.last_command is not None)
    assert (status.last_command.id, status.last_command.result) == ("c1", "done")
    assert live.rejected == []
    assert not [line for line in running.output if "failed" in line], running.output


def test_a_device_without_a_place_for_its_data_measures_and_is_reached(
    device, mosquitto, live, tmp_path, monkeypatch
):
    monkeypatch.setattr(board_module.Path, "mkdir", _but_for_data(board_module.Path))
    flash = tmp_path / f"flash-{DEVICE}"
    flash.mkdir()
    (flash / "data").write_text("a file")
    running = device(mosquitto)
    eventually(lambda: live.messages(DEVICE, "telemetry")[3:])
    assert not [line for line in running.output if "failed" in line], running.output


def _but_for_data(path_class):
    """`mkdir` of a path, which leaves a file named `data` alone."""
    make = path_class.mkdir
    return lambda path, *rest, **more: (
        None if path.name == "data" else make(path, *rest, **more)
    )


def test_a_boot_is_not_confirmed_before_each_period_has_passed(
    sabotaged, mosquitto, live, umqtt, monkeypatch
):
    # Sampling stalls at its second sample, long after a minute of running well.
    stalls = """
import asyncio
class Sensors:
    def __init__(self, board, *_, **__):
        self._is_second = False
    async def found(self):
        return []
    async def sample(self, window):
        if self._is_second:
            await asyncio.Event().wait()
        self._is_second = True
"""
    brief = """
STATUS_MS, TRIAL_MS, STALL_MS, CONFIRM_MS, RESTART_MS = 60000, 120000, 500, 2500, 100
BLOCKED_MS = 0
"""
    made = board_module._settings  # noqa: SLF001  # no argument makes a mistake
    monkeypatch.setattr(
        board_module,
        "_settings",
        lambda *_: json.dumps(json.loads(made(*_)) | {"sampling_rate_ms": 2500}),
    )
    sabotaged(mosquitto, also=umqtt, watchdog_s=1.5, sensors=stalls, timeouts=brief)
    status = _status_with(live, lambda m: m.state == "safe_mode", 90)
    assert status.reset_cause == "watchdog: sampling stalled"


def test_resets_because_of_the_network_do_not_lead_to_safe_mode(
    sabotaged, mosquitto, tmp_path
):
    hangs = """
import asyncio
class Uplink:
    acked = {"telemetry": 0, "status": 0}
    turns = 0
    def __init__(self, *_):
        pass
    def report_soon(self):
        pass
    def period_ms(self):
        return 0
    set_last_will = set_callback = send = lambda *_: None
    async def run(self):
        await asyncio.Event().wait()
"""
    running = sabotaged(mosquitto, watchdog_s=1.5, uplink=hangs, timeouts=_BRIEF)
    data = tmp_path / f"flash-{DEVICE}" / "data"
    eventually((data.parent / "store_settings_crc").exists, 30)  # it knows its settings
    (data / "config.json").write_text('{"device_id":"oven-001","buffer_size":50}')
    boots = data.parent / "store_boot"
    eventually(lambda: boots.exists() and int(boots.read_text()) > 6, 60)
    assert not [line for line in running.output if "safe mode" in line]
    assert json.loads((data / "config.json").read_text())["buffer_size"] == 50


def test_a_task_that_fails_is_restarted_alone(sabotaged, mosquitto, live):
    fails = """
class Sensors:
    def __init__(self, board, *_, **__):
        self._tries = 0
    async def found(self):
        return []
    async def sample(self, window):
        self._tries += 1
        if self._tries % 2:
            raise ValueError("boom")
        window.state = "running"
"""
    running = sabotaged(mosquitto, sensors=fails, timeouts=_BRIEF)
    eventually(lambda: len(live.messages(DEVICE, "telemetry")) >= 4)
    assert any("sampling failed, restarting" in line for line in running.output)
    assert {m.boot for m in live.messages(DEVICE, "telemetry")} == {1}
    assert running.stop()["unacked"] == 0


def test_a_list_of_sensors_that_fails_does_not_keep_the_device_from_sampling(
    sabotaged, mosquitto, live
):
    fails = """
class Sensors:
    def __init__(self, board, *_, **__):
        pass
    async def found(self):
        raise MemoryError
    async def sample(self, window):
        window.state = "running"
"""
    running = sabotaged(mosquitto, sensors=fails)
    seen = eventually(lambda: live.messages(DEVICE, "telemetry"))
    assert seen[-1].status.operational_state == "running"
    assert any("sampling goes on" in line for line in running.output)


def test_a_crash_loop_ends_in_safe_mode_and_a_command_leads_out_of_it(
    sabotaged, mosquitto, live, umqtt
):
    broken = 'raise ValueError("the app is broken")\n'
    running = sabotaged(mosquitto, also=umqtt, uplink=broken)
    status = _status_with(live, lambda m: m.state == "safe_mode")
    assert status.reset_cause == "crash: ValueError('the app is broken',)"
    assert sum("egiz_edge.uplink" in line for line in running.output) == 5  # five boots
    _send_command(live, "c1", "sample_now")
    status = _status_with(live, lambda m: m.last_command is not None)
    assert (status.last_command.id, status.last_command.result) == ("c1", "refused")
    _send_command(live, "c2", "reboot")
    done = _status_with(live, lambda m: m.last_command and m.last_command.id == "c2")
    assert done.last_command.result == "done"
    # The app is tried again, five times, before safe mode runs again.
    eventually(lambda: len(_of_safe_mode(live, "c2")) >= 2, 60)
    assert sum("egiz_edge.uplink" in line for line in running.output) == 10
    assert _of_safe_mode(live, "c2")[1].last_command.result == "done"


def _of_safe_mode(live, command_id):
    """Its statuses after a command: the answer, and then each birth."""
    found = [m for m in live.messages(DEVICE, "status") if m.state == "safe_mode"]
    return [m for m in found if m.last_command and m.last_command.id == command_id]


def test_safe_mode_keeps_identity_and_credentials(
    sabotaged, mosquitto, live, umqtt, tmp_path
):
    sabotaged(mosquitto, also=umqtt, app="raise MemoryError\n")
    before = json.loads((tmp_path / f"flash-{DEVICE}" / "settings.json").read_text())
    _status_with(live, lambda m: m.state == "safe_mode")
    after = json.loads((tmp_path / f"flash-{DEVICE}" / "settings.json").read_text())
    assert after == before


def _send_command(live, command_id, action):
    live.publish(
        COMMAND, encode(Command(device_id=DEVICE, id=command_id, action=action))
    )
