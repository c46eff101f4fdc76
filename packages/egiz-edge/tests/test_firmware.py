"""The firmware as a device: real interpreter, real broker, simulated hardware."""

import json
import threading

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools import __version__
from egiz_edge_tools.hardware import Thermocouple, Thermometer, Trouble, rom
from egiz_schema import Config, Topic, encode
from rig.device import DEVICE
from rig.waiting import eventually

CONFIG = Topic("factory", DEVICE, "config")


def _sound_with(live, zones):
    """A reading with these zones, of which no meter has missed its deadline."""
    return _telemetry_with(
        live,
        lambda m: (
            m.thermal
            and m.thermal.temperature_zones == zones
            and m.status.fault_codes == []
        ),
    )


def _telemetry_with(live, is_so):
    return live.first(DEVICE, "telemetry", is_so)


def test_what_arrives_is_what_the_hardware_measures(device, mosquitto, live):
    device(mosquitto)
    message = _sound_with(live, [120.5, -18.5])
    electrical = message.electrical
    assert (electrical.voltage.a, electrical.voltage.b) == (225.7, 230.1)
    assert (electrical.current.a, electrical.current.c) == (0.108, 0.0)
    assert electrical.active_power.b == 2174.4
    assert (electrical.energy_wh.a, electrical.energy_wh.b) == (38, 1_000_000)
    assert electrical.frequency == 50.0
    assert message.status.operational_state == "running"
    assert message.status.wifi_rssi == -61
    assert (message.boot, message.buffered) == (1, False)


def test_readings_are_corrected_by_the_calibration_of_the_settings(
    device, mosquitto, live, hardware, monkeypatch
):
    hardware.thermocouples["tc_1"] = Thermocouple("max6675", 850.25)
    given = {
        "electrical_voltage_a": {"gain": 1.01, "offset": -0.4},
        "electrical_current_b": {"offset": 0.125},
        rom(1).hex(): {"offset": 0.5},
        "tc_1": {"gain": 0.99},
    }
    made = board_module._settings  # noqa: SLF001  # no argument calibrates
    monkeypatch.setattr(
        board_module,
        "_settings",
        lambda *_: json.dumps(json.loads(made(*_)) | {"calibration": given}),
    )
    running = device(mosquitto)
    message = _sound_with(live, [120.5, -18.0, 841.75])
    assert (message.electrical.voltage.a, message.electrical.voltage.b) == (
        227.6,
        230.1,
    )
    assert message.electrical.current.b == 10.625
    said = [line for line in running.output if line.startswith("calibration: ")]
    assert len(said) == 1
    assert "'electrical_current_b': {'offset': 0.125}" in said[0]


def test_thermocouples_are_zones_after_the_thermometers(
    device, mosquitto, live, hardware
):
    hardware.thermocouples["tc_1"] = Thermocouple("max6675", 850.25)
    device(mosquitto)
    _sound_with(live, [120.5, -18.5, 850.25])


def test_the_birth_lists_the_sensors_on_the_buses(device, mosquitto, live, hardware):
    del hardware.meters[3]
    hardware.thermometers[rom(9)] = Thermometer(trouble=Trouble.SILENT)
    device(mosquitto)
    birth = eventually(
        lambda: next((m for m in live.messages(DEVICE, "status") if m.sensors), None)
    )
    thermometers = [f"ds18b20:{rom(number).hex()}" for number in (0, 1)]
    # On a loaded machine, a meter may miss its deadline.
    there = {"pzem_a", "pzem_b", *thermometers}
    assert set(thermometers) <= set(birth.sensors) <= there


def test_a_silent_or_damaged_part_is_absent_and_named_never_zero(
    device, mosquitto, live, hardware
):
    hardware.meters[2].trouble = Trouble.SILENT
    hardware.meters[3].trouble = Trouble.GARBLED
    hardware.thermometers[rom(1)].trouble = Trouble.GARBLED
    device(mosquitto)
    # On a loaded machine, the others may miss a deadline, too.
    faults = {"pzem_b:no_reply", "pzem_c:crc", "zone_1:crc"}
    message = _telemetry_with(live, lambda m: set(m.status.fault_codes) == faults)
    assert message.electrical.voltage.a == 225.7
    assert message.electrical.voltage.b is None
    assert message.electrical.voltage.c is None
    assert message.thermal.temperature_zones == [120.5, None]
    for part in (*hardware.meters.values(), *hardware.thermometers.values()):
        part.trouble = Trouble.NONE
    _telemetry_with(
        live, lambda m: m.seq > message.seq and m.thermal and not m.status.fault_codes
    )


def test_it_is_online_with_its_birth_and_offline_with_its_last_will(
    device, mosquitto, live
):
    running = device(mosquitto)
    (birth,) = eventually(lambda: live.messages(DEVICE, "status"))
    assert (birth.state, birth.boot, birth.schema) == ("online", 1, "1")
    assert birth.firmware_version == __version__
    running.kill()
    eventually(lambda: DEVICE in live.wills)
    will = live.messages(DEVICE, "status")[-1]
    assert (will.state, will.boot, will.timestamp) == ("offline", 1, None)


def test_it_disconnects_and_counts_every_message(device, mosquitto, live):
    running = device(mosquitto)
    _telemetry_with(live, lambda m: m.seq == 2)
    totals = running.stop()
    assert totals["device_id"] == DEVICE
    assert totals["unacked"] == 0
    for kind, acknowledged in totals["acked"].items():
        eventually(lambda k=kind, n=acknowledged: len(live.messages(DEVICE, k)) == n)
    assert live.messages(DEVICE, "status")[-1].state == "offline"
    assert DEVICE not in live.wills


def test_a_slow_network_does_not_keep_one_that_stops_and_nothing_stays_unsent(
    device, mosquitto, live, proxy
):
    between = proxy(mosquitto.host, mosquitto.port)
    running = device(between, publish_rate_ms=200)
    _telemetry_with(live, lambda m: m.seq == 1)
    between.replies = _delayed  # more comes than is acknowledged
    _telemetry_with(live, lambda m: m.seq >= 8)
    totals = running.stop()
    assert totals["unacked"] == 0
    live.until_offline(DEVICE)
    sequences = {m.seq for m in live.messages(DEVICE, "telemetry")}
    assert sequences == set(range(max(sequences) + 1))


def _delayed(data):
    threading.Event().wait(0.4)
    return data


def test_boots_are_counted_over_restarts_and_sequences_begin_at_zero(
    device, mosquitto, live
):
    for boot in (1, 2, 3):
        running = device(mosquitto)
        first = _telemetry_with(live, lambda m, boot=boot: m.boot == boot)
        assert first.seq == 0
        if boot == 2:
            running.kill()
        else:
            running.stop()


def _births(live):
    return [m for m in live.messages(DEVICE, "status") if m.state == "online"]


def test_an_outage_of_the_broker_loses_nothing_and_marks_buffered_messages(
    device, mosquitto, live, proxy
):
    between = proxy(mosquitto.host, mosquitto.port)
    running = device(between, publish_rate_ms=300)
    _telemetry_with(live, lambda m: m.seq == 2)
    between.refuse()
    eventually(lambda: DEVICE in live.wills)
    born = len(_births(live))
    begun = running.newest_segment()
    eventually(lambda: running.newest_segment() > begun + 1)  # ten messages
    between.accept()
    _telemetry_with(live, lambda m: m.seq > 20 and not m.buffered)
    assert len(_births(live)) > born
    assert len({m.boot for m in _births(live)}) == 1
    running.stop()
    live.until_offline(DEVICE)
    sent = live.messages(DEVICE, "telemetry")
    # A PUBACK that was lost with the connection may repeat one message.
    assert {m.seq for m in sent} == set(range(max(m.seq for m in sent) + 1))
    assert len(sent) - len({m.seq for m in sent}) <= 1
    assert len([m for m in sent if m.buffered]) >= 8
    assert {m.status.dropped for m in sent} == {0}


def test_a_network_that_hangs_is_noticed_and_the_connection_closed(
    device, mosquitto, live, proxy
):
    between = proxy(mosquitto.host, mosquitto.port)
    running = device(between, publish_rate_ms=500)
    _telemetry_with(live, lambda m: m.seq == 1)
    between.pause()
    eventually(lambda: any("no answer in time" in line for line in running.output))
    between.cut()
    between.resume()
    _telemetry_with(live, lambda m: m.seq >= 8 and not m.buffered)
    totals = running.stop()
    assert totals["unacked"] == 0
    live.until_offline(DEVICE)
    sequences = {m.seq for m in live.messages(DEVICE, "telemetry")}
    assert sequences == set(range(max(sequences) + 1))


def test_a_broker_that_is_down_at_the_start_is_waited_for(device, mosquitto, live):
    mosquitto.stop()
    running = device(mosquitto)
    eventually(lambda: any("no broker" in line for line in running.output))
    mosquitto.start()
    _telemetry_with(live, lambda m: m.seq == 0)


def test_a_retained_config_is_applied_and_reported(device, mosquitto, live):
    config = Config(device_id=DEVICE, rev=7, publish_rate_ms=200)
    live.publish(CONFIG, encode(config), retain=True)
    device(mosquitto, publish_rate_ms=5000)
    reported = eventually(
        lambda: next((m for m in live.messages(DEVICE, "status") if m.config), None)
    )
    assert (reported.config.rev, reported.config.applied) == (7, True)
    _telemetry_with(live, lambda m: m.seq == 3)  # well before 4 x 5 s


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b'{"device_id":"oven-001","rev":8,"publish_rate_ms":5}', "publish_rate_ms"),
        (b'{"device_id":"oven-002","rev":9}', "device_id"),
        (b"[1]", None),
        (b"{", None),
    ],
)
def test_a_config_that_cannot_be_applied_is_refused_and_changes_nothing(
    device, mosquitto, live, payload, error
):
    running = device(mosquitto, publish_rate_ms=400)
    first = _telemetry_with(live, lambda _: True)
    live.publish(CONFIG, payload)
    reported = eventually(
        lambda: next((m for m in live.messages(DEVICE, "status") if m.config), None)
    )
    assert not reported.config.applied
    assert (error or "") in reported.config.error
    _telemetry_with(live, lambda m: m.seq == first.seq + 3)
    assert running.stop()["unacked"] == 0


def test_a_message_longer_than_its_memory_does_not_break_the_device(
    device, mosquitto, live
):
    running = device(mosquitto, publish_rate_ms=300)
    first = _telemetry_with(live, lambda _: True)
    live.publish(CONFIG, b"x" * 60_000)  # more than it can hold
    _telemetry_with(live, lambda m: m.seq == first.seq + 4)
    assert not any("MemoryError" in line for line in running.output)
    assert running.stop()["unacked"] == 0
