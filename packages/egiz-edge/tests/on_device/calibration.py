"""Readings that are corrected: gain, then offset, rounded once, without a float."""

import asyncio

from egiz_edge import calibration
from egiz_edge.drivers import SensorError

# 230 V, 1 A, 230 W, 17 Wh, 50 Hz, 1.00, no fault
READING = (2300, 1000, 2300, 17, 500, 100, None)


class _Part:
    def __init__(self, reading):
        self._reading = reading

    async def read(self):
        if self._reading is None:
            raise SensorError("no_reply")
        return self._reading

    async def reset_energy(self):
        return "reset"


def _read(part):
    return asyncio.run(part.read())


def test_what_has_no_calibration_is_the_part_itself():
    part = _Part(READING)
    given = {"electrical_voltage_b": {"gain": 1.1}, "tc_1": {"gain": 1.1}}
    assert calibration.meter(part, "a", given) is part
    assert calibration.zone(part, "tc_0", given) is part


def test_the_fields_of_one_phase_are_corrected_and_no_other():
    given = {
        "electrical_voltage_a": {"gain": 1.0023, "offset": -0.4},
        "electrical_current_a": {"offset": 0.012},
        "electrical_active_power_a": {"gain": 0.995},
    }
    corrected = _read(calibration.meter(_Part(READING), "a", given))
    # 2300 * 1.0023 = 2305.29; 2300 * 0.995 = 2288.5, rounded up
    assert corrected == (2301, 1012, 2289, 17, 500, 100, None)


def test_without_a_load_there_is_no_offset_and_nothing_is_below_zero():
    given = {
        "electrical_current_a": {"offset": -0.05},
        "electrical_active_power_a": {"offset": 3},
    }
    meter = calibration.meter(_Part((2300, 20, 0, 17, 500, 0, None)), "a", given)
    assert _read(meter) == (2300, 0, 0, 17, 500, 0, None)


def test_a_number_that_is_absent_stays_absent():
    given = {"electrical_current_a": {"gain": 1.1, "offset": 0.5}}
    reading = (2300, None, 2300, None, 500, 100, "range")
    assert _read(calibration.meter(_Part(reading), "a", given)) == reading


def test_a_thermometer_is_corrected_on_both_sides_of_zero():
    given = {"28ff": {"gain": 1.01, "offset": -0.5}}
    for raw, expected in ((10000, 10050), (0, -50), (-1850, -1918), (-1, -51)):
        part = calibration.zone(_Part(raw), "28ff", given)
        assert _read(part) == expected, raw


def test_a_fault_stays_a_fault_and_the_energy_can_be_reset():
    meter = calibration.meter(_Part(None), "a", {"electrical_voltage_a": {"gain": 1.1}})
    fault = None
    try:
        _read(meter)
    except SensorError as error:
        fault = error.args[0]
    assert fault == "no_reply"
    assert asyncio.run(meter.reset_energy()) == "reset"
