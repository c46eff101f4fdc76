"""Configuration and commands over the broker."""

import re

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools.bundle import stage
from egiz_edge_tools.hardware import rom
from egiz_schema import Alert, Command, Config, Topic, encode, orders
from rig.device import DEVICE
from rig.process import free_port
from rig.waiting import eventually

CONFIG = Topic("factory", DEVICE, "config")
COMMAND = Topic("factory", DEVICE, "command")
PAST, FUTURE = 1_600_000_000, 4_000_000_000

# Those of the firmware, but a trial of six seconds and not of two minutes.
_TIMEOUTS = """
TRIAL_MS = 6000
STALL_MS = 30000
BLOCKED_MS = 10000
CONFIRM_MS = 60000
RESTART_MS = 1000
"""


@pytest.fixture
def short_trial(monkeypatch):
    def staged(directory, *_):
        stage(directory, replaced={"egiz_edge/timeouts.py": _TIMEOUTS})

    monkeypatch.setattr(board_module, "stage", staged)


def _send_config(live, **config):
    live.publish(CONFIG, encode(Config(device_id=DEVICE, **config)), retain=True)


def _send_command(live, command_id, action, *, retain=False, **more):
    command = Command(device_id=DEVICE, id=command_id, action=action, **more)
    live.publish(COMMAND, encode(command), retain=retain)


def _status(live, is_so, timeout=60):
    return live.first(DEVICE, "status", is_so, timeout)


def _result(live, command_id):
    found = _status(
        live, lambda m: m.last_command and m.last_command.id == command_id
    ).last_command
    return found.result, found.error


def _is_complete(live):
    """Whether no message of the first boot is missing; new ones go before old ones."""
    sent = {m.seq for m in live.messages(DEVICE, "telemetry") if m.boot == 1}
    return sent == set(range(max(sent) + 1))


def _config(live, rev, *, applied):
    return _status(
        live,
        lambda m: m.config and (m.config.rev, m.config.applied) == (rev, applied),
    ).config


def test_a_status_reports_boot_cause_address_and_health(device, mosquitto, live):
    device(mosquitto)
    born = _status(live, lambda m: m.state == "online")
    assert re.fullmatch("[0-9a-f]{12}", born.board)
    assert born.can
    assert set(born.can) <= set(orders.ACTIONS)
    assert (born.boot, born.reset_cause, born.ip) == (1, "power_on", "127.0.0.1")
    health = born.health
    assert (health.wifi_rssi, health.buffer_depth, health.dropped) == (-61, 0, 0)
    assert health.uptime_seconds < 20
    assert 5_000 < health.free_memory_bytes < 144_000


def test_a_status_comes_as_often_as_the_configuration_says(device, mosquitto, live):
    device(mosquitto)
    _send_config(live, rev=1, report_rate_ms=1000)
    _config(live, 1, applied=True)
    before = len(live.messages(DEVICE, "status"))
    eventually(lambda: len(live.messages(DEVICE, "status")) >= before + 3)


def test_a_config_outlives_a_power_cut_and_a_stale_one_is_ignored(
    device, mosquitto, live
):
    first = device(mosquitto, publish_rate_ms=30_000)
    _send_config(live, rev=7, publish_rate_ms=300)
    _config(live, 7, applied=True)
    eventually(lambda: len(live.messages(DEVICE, "telemetry")) > 3)
    _send_config(live, rev=6, publish_rate_ms=20_000)
    eventually(lambda: any("stale" in line for line in first.output))
    first.kill()
    device(mosquitto, publish_rate_ms=30_000)
    born = _status(live, lambda m: m.boot == 2)
    assert (born.config.rev, born.config.applied) == (7, True)
    eventually(
        lambda: len([m for m in live.messages(DEVICE, "telemetry") if m.boot == 2]) > 3
    )


@pytest.mark.usefixtures("short_trial")
def test_a_broker_that_cannot_be_reached_is_reverted(device, mosquitto, live):
    running = device(mosquitto, publish_rate_ms=500)
    _send_config(live, rev=3, publish_rate_ms=400)
    _config(live, 3, applied=True)
    _send_config(live, rev=4, mqtt_broker=f"127.0.0.1:{free_port()}")
    status = _status(
        live,
        lambda m: m.config and m.config.error and "reverted" in m.config.error,
        60,
    )
    assert (status.config.rev, status.config.applied) == (4, False)
    assert status.boot == 1
    # The message is still retained; it is not tried again.
    assert sum("config 4: on trial" in line for line in running.output) == 1
    eventually(lambda: _is_complete(live))  # nothing was lost meanwhile


def test_a_broker_that_is_reached_is_confirmed(device, mosquitto, live, proxy):
    between = proxy(mosquitto.host, mosquitto.port)
    running = device(mosquitto, publish_rate_ms=500)
    _status(live, lambda m: m.state == "online")
    _send_config(live, rev=4, mqtt_broker=f"{between.host}:{between.port}")
    _config(live, 4, applied=True)
    running.kill()
    between.refuse()
    second = device(mosquitto, publish_rate_ms=500)
    eventually(lambda: any("no broker" in line for line in second.output))
    between.accept()  # the device tried this one
    _status(live, lambda m: m.boot == 2)


def test_thresholds_raise_and_end_an_alert(device, mosquitto, live):
    running = device(mosquitto, publish_rate_ms=400)
    alerts = {"electrical_voltage_a": Alert(max=240), "electrical_current_b": Alert()}
    _send_config(live, rev=1, alerts=alerts)
    _config(live, 1, applied=True)
    meter = running.hardware.meters[1]
    code = "electrical_voltage_a:high"
    assert not any(
        code in m.status.fault_codes for m in live.messages(DEVICE, "telemetry")
    )
    meter.volts = 241.0
    raised = _status(live, lambda m: code in m.health.fault_codes)
    eventually(
        lambda: any(
            code in m.status.fault_codes for m in live.messages(DEVICE, "telemetry")
        )
    )
    meter.volts = 239.5  # within the band
    within = eventually(  # on a loaded machine, a meter may miss its deadline
        lambda: [
            m
            for m in live.messages(DEVICE, "telemetry")
            if m.electrical and m.electrical.voltage and m.electrical.voltage.a == 239.5
        ][3:]
    )
    assert all(code in m.status.fault_codes for m in within)
    meter.volts = 238.0
    _status(
        live,
        lambda m: (
            m.timestamp
            and m.timestamp >= raised.timestamp
            and m.health.uptime_seconds > raised.health.uptime_seconds
            and not m.health.fault_codes
        ),
    )


def test_commands_are_executed_and_their_results_reported(device, mosquitto, live):
    running = device(mosquitto, publish_rate_ms=60_000)
    _status(live, lambda m: m.state == "online")
    _send_command(live, "s1", "sample_now", expires_at=FUTURE)
    assert _result(live, "s1") == ("done", None)
    (sample,) = eventually(lambda: live.messages(DEVICE, "telemetry"))
    # On a loaded machine, a meter may miss its deadline.
    is_late = "pzem_a:no_reply" in sample.status.fault_codes
    assert is_late or sample.electrical.voltage.a == 225.7
    _send_command(live, "e1", "reset_energy")
    assert _result(live, "e1") == ("done", None)
    assert [meter.watt_hours for meter in running.hardware.meters.values()] == [0, 0, 0]
    _send_command(live, "i1", "identify", args={"seconds": 1})
    assert _result(live, "i1") == ("done", None)
    _send_command(live, "i2", "identify", args={"seconds": 0})
    assert _result(live, "i2") == ("refused", "args.seconds: not 1..600")


def test_a_reboot_is_reported_before_and_remembered_after(device, mosquitto, live):
    device(mosquitto, publish_rate_ms=400)
    _status(live, lambda m: m.state == "online")
    _send_command(live, "r1", "reboot")
    done = _status(live, lambda m: m.last_command)
    assert (done.boot, done.last_command.result) == (1, "done")
    born = _status(live, lambda m: m.boot == 2)
    assert born.reset_cause == "reboot: command"
    assert (born.last_command.id, born.last_command.result) == ("r1", "done")
    _send_command(live, "r1", "reboot")
    status = _status(live, lambda m: m.last_command and m.last_command.error)
    assert (status.boot, status.last_command.error) == (2, "repeated")
    eventually(lambda: _is_complete(live))


def test_a_command_that_must_not_be_executed_is_refused_with_a_reason(
    device, mosquitto, live
):
    _send_command(live, "kept", "reboot", retain=True)
    device(mosquitto, publish_rate_ms=400)
    assert _result(live, "kept") == ("refused", "retained")
    _send_command(live, "old", "reboot", expires_at=PAST)
    assert _result(live, "old") == ("refused", "expired")
    _send_command(live, "odd", "self_destruct")
    assert _result(live, "odd") == ("refused", "unknown action")
    _send_command(live, "wipe", "factory_reset", args={"confirm": "oven-002"})
    assert _result(live, "wipe") == ("refused", "args.confirm: not the device id")
    live.publish(COMMAND, b'{"device_id":"oven-001","id":"x","action":7}')
    assert _result(live, "x") == ("refused", "action: not a text")
    assert {m.boot for m in live.messages(DEVICE, "status")} == {1}


def test_a_board_without_a_label_refuses_what_only_a_cable_could_undo(
    device, mosquitto, live
):
    device(mosquitto, publish_rate_ms=400)
    _status(live, lambda m: m.state == "online")
    _send_command(live, "wipe", "factory_reset", args={"confirm": DEVICE})
    assert _result(live, "wipe") == ("refused", "no label")
    _send_command(live, "open", "portal")
    assert _result(live, "open") == ("refused", "no label")
    assert {m.boot for m in live.messages(DEVICE, "status")} == {1}


FIELDS = [
    *(f"electrical_{q}_{p}" for q in ("voltage", "current") for p in "abc"),
    *(f"electrical_active_power_{p}" for p in "abc"),
    *(f"thermal_temperature_zones_{n}" for n in range(23)),
]


@pytest.mark.parametrize("alerts", [16, 32])
def test_the_largest_config_runs_or_is_refused_and_the_device_publishes_on(
    device, mosquitto, live, alerts
):
    device(mosquitto, publish_rate_ms=500)
    eventually(lambda: live.messages(DEVICE, "telemetry"))
    config = Config(
        device_id=DEVICE,
        rev=3,
        buffer_size=10_000,
        zones={rom(number).hex(): f"zone {number:02}" for number in range(32)},
        alerts={name: Alert(min=-10.5, max=250.25) for name in FIELDS[:alerts]},
    )
    live.publish(CONFIG, encode(config), retain=True)
    _status(live, lambda m: m.config is not None)
    # It may need one reset for a memory without holes.
    eventually(lambda: _is_running_on(live), timeout=60)
    assert live.rejected == []


def _is_running_on(live):
    """Ten of one boot, with the zones of the config, or of before if it was refused."""
    status = live.messages(DEVICE, "status")[-1]
    last = live.messages(DEVICE, "telemetry")[-10:]
    if status.config is None:
        return False
    zones = 32 if status.config.applied else 2
    return len(last) == 10 == sum(m.boot == last[-1].boot for m in last) and all(
        m.thermal and len(m.thermal.temperature_zones) == zones for m in last
    )
