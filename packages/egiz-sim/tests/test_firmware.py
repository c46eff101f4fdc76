"""`egiz-sim firmware`: the real firmware measures the machines of the simulator."""

import json
import random
import sys
from itertools import pairwise

import pytest
from egiz_edge_tools.hardware import Trouble
from egiz_sim.firmware.wiring import Wiring, wired
from egiz_sim.machines import ColdRoom, Freezer, Mixer, Oven
from egiz_sim.sensors import SensorFault


def batched(words):
    return zip(words[::2], words[1::2], strict=True)


def words_of(meter):
    """V, A, W and Wh, as the registers of a PZEM-004T have them."""
    registers = meter.registers()
    wide = [low | high << 16 for low, high in batched(registers[1:7])]
    return registers[0] / 10, wide[0] / 1000, wide[1] / 10, wide[2]


def test_the_meters_of_a_board_show_what_the_machine_measures():
    twin, wiring = Mixer(random.Random(3)), Wiring(Mixer(random.Random(3)))
    twin.step(1.0)
    for _ in range(20):
        wiring.move(0.25)
        measured = twin.step(0.25).electrical
    for phase, meter in zip("abc", wiring.hardware.meters.values(), strict=True):
        volts, amperes, watts, watt_hours = words_of(meter)
        assert volts == pytest.approx(getattr(measured.voltage, phase), abs=0.051)
        assert amperes == pytest.approx(getattr(measured.current, phase), abs=0.001)
        assert watts == pytest.approx(getattr(measured.active_power, phase), abs=0.1)
        assert watt_hours == int(getattr(measured.energy_wh, phase))
    assert wiring.hardware.meters[1].hertz == measured.frequency
    assert wiring.hardware.thermometers == wiring.hardware.thermocouples == {}


def test_zones_that_are_too_hot_for_a_ds18b20_have_thermocouples():
    oven, freezer = Wiring(Oven(random.Random(1))), Wiring(Freezer(random.Random(1)))
    celsius = [part.celsius for part in oven.hardware.thermocouples.values()]
    assert len(celsius) == 3
    assert all(140 < each < 195 for each in celsius)
    (thermometer,) = freezer.hardware.thermometers.values()
    assert -25 < thermometer.celsius < -10
    assert freezer.hardware.thermocouples == {}


def test_a_sensor_that_drops_out_does_not_answer_on_its_bus():
    machine = Oven(random.Random(1))
    for sensor in ("zone_1", "meter_b"):
        machine.faults.append(SensorFault(sensor, "dropout", begins_s=2, lasts_s=2))
    wiring = Wiring(machine)
    parts = [*wiring.hardware.thermocouples.values(), *wiring.hardware.meters.values()]
    seen = []
    for _ in range(5):
        wiring.move(1.0)
        seen.append([n for n, part in enumerate(parts) if part.trouble != Trouble.NONE])
    assert [] in seen
    assert [1, 4] in seen
    assert seen[-1] == []
    assert {part.trouble for part in parts} == {Trouble.NONE}


def test_an_input_of_the_board_follows_the_state_of_the_machine():
    wiring = Wiring(Mixer(random.Random(3)))
    levels = [wiring.hardware.pins["running"]]
    changes = 0
    for _ in range(120):
        changes += wiring.move(1.0)
        levels.append(wiring.hardware.pins["running"])
    steps = [a != b for a, b in pairwise(levels)]
    assert sum(steps) == changes >= 2  # a minute of kneading and standing


def test_a_machine_with_channels_is_left_out_and_the_others_keep_their_names():
    assert ColdRoom.channels
    assert [name for name, _ in wired(6, 1, 0.0)] == [
        *("oven-001", "mixer-001", "conveyor-001", "freezer-001"),
        *("oven-002", "mixer-002"),
    ]


def test_devices_publish_what_their_machines_measure(launch, mosquitto, live, tmp_path):
    report = tmp_path / "report.json"
    running = launch(
        *("egiz-sim", "firmware", "--broker", mosquitto.url, "--devices", "4"),
        *("--seconds", "8", "--publish-ms", "1000", "--report", str(report)),
    )
    assert running.wait() == 0, running.output()
    counts = json.loads(report.read_text())
    assert list(counts) == ["oven-001", "mixer-001", "conveyor-001", "freezer-001"]
    zones = {}
    for device_id, counted in counts.items():
        live.until_offline(device_id)
        received = live.messages(device_id, "telemetry")
        assert len(received) == counted["acknowledged"]["telemetry"] >= 5
        assert counted["unacknowledged"] == 0
        assert counted["boots"] == ["power_on"]
        sound = [one for one in received if not one.status.fault_codes]
        # The meters are on this machine, too: on a busy one they reply too late.
        late = {code for one in received for code in one.status.fault_codes or ()}
        assert all(code.endswith(":no_reply") for code in late), late
        assert sound, received
        zones[device_id] = [
            one.thermal
            for one in sound
            # On a busy machine, a window may be over before the conversion.
            if one.thermal and None not in one.thermal.temperature_zones
        ]
        for message in sound:
            electrical = message.electrical
            for phase in "abc":
                volts, amperes, watts = (
                    getattr(group, phase)
                    for group in (
                        electrical.voltage,
                        electrical.current,
                        electrical.active_power,
                    )
                )
                assert 220 < volts < 240
                assert watts <= 1.02 * volts * amperes
    oven, freezer = zones["oven-001"][-1], zones["freezer-001"][-1]
    assert len(oven.temperature_zones) == 3
    assert all(140 < celsius < 200 for celsius in oven.temperature_zones)
    assert oven.setpoint == 190
    assert -25 < freezer.temperature_zones[0] < -10
    assert freezer.setpoint == -18
    assert live.rejected == []


def test_ctrl_c_ends_it_with_the_counts_of_each(launch, mosquitto):
    running = launch(
        *("egiz-sim", "firmware", "--broker", mosquitto.url, "--devices", "1"),
        *("--seconds", "600", "--publish-ms", "1000"),
    )
    running.wait_until(lambda: " of 600 s" in running.output())
    assert running.interrupt() in {0, 1}
    assert "oven-001" in running.output()
    assert "Traceback" not in running.output()


def test_without_the_firmware_it_says_what_to_install(monkeypatch, tmp_path):
    from click.testing import CliRunner  # noqa: PLC0415  # for this test alone
    from egiz_sim.cli import main  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "egiz_edge_tools.virtual_board", None)
    result = CliRunner().invoke(main, ["firmware", "--state", str(tmp_path)])
    assert result.exit_code == 1
    assert "pip install 'egiz-sim[firmware]'" in result.output
