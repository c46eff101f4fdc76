"""Payloads, written without floats."""

import json

from egiz_edge import payloads
from egiz_edge.payloads import Window


def _window():
    window = Window()
    for phase, volts in (("a", 2257), ("c", 2301)):
        window.add("u" + phase, volts)
        window.add("i" + phase, 108)
        window.add("p" + phase, 244)
        window.last["e" + phase] = 38
    window.add("f", 500)
    window.add("pf", 99)
    window.add("t0", -1855)
    window.zones = 2
    window.state = "running"
    window.fault("pzem_b:no_reply")
    return window


def _written(window, setpoint=None, health=()):
    named = payloads.head("oven-001", 1733299200123, 7, 3)
    return json.loads(payloads.telemetry(named, window, setpoint, list(health)))


def test_a_scaled_integer_keeps_every_digit():
    for value, digits, written in (
        (2257, 1, "225.7"),
        (108, 3, "0.108"),
        (-5, 1, "-0.5"),
        (-1855, 2, "-18.55"),
        (0, 2, "0.00"),
        (4294967295, 3, "4294967.295"),
        (38, 0, "38"),
    ):
        assert payloads.decimal(value, digits) == written


def test_what_was_read_is_there_and_what_was_not_is_absent():
    written = _written(_window(), setpoint=-1800)
    assert written["electrical"]["voltage"] == {"a": 225.7, "c": 230.1}
    assert written["electrical"]["energy_wh"] == {"a": 38, "c": 38}
    assert written["electrical"]["power_factor"] == 0.99
    assert written["electrical"]["frequency"] == 50.0
    assert written["thermal"] == {"temperature_zones": [-18.55, None], "setpoint": -18}
    assert written["status"]["fault_codes"] == ["pzem_b:no_reply"]
    assert written["status"]["operational_state"] == "running"


def test_a_message_has_device_time_sequence_and_boot():
    written = _written(_window())
    assert written["device_id"] == "oven-001"
    assert (written["timestamp"], written["ms"]) == (1733299200, 123)
    assert (written["seq"], written["boot"]) == (7, 3)


def test_a_message_says_how_many_samples_a_mean_has_only_if_some_are_missing():
    window = _window()
    assert set(_written(window)["status"]) == {"operational_state", "fault_codes"}
    window.add("uc", None)
    status = _written(window)["status"]
    assert (status["samples"], status["samples_expected"]) == (1, 2)
    only = Window()
    only.add("ua", None)
    assert "samples" not in _written(only)["status"]


def test_a_board_without_any_reading_still_reports_its_health():
    written = _written(Window(), health=['"uptime_seconds":5'])
    assert "electrical" not in written
    assert "thermal" not in written
    assert written["status"] == {"uptime_seconds": 5}


def test_a_buffered_message_is_marked():
    named = payloads.head("oven-001", 1733299200123, 7, 3)
    payload = payloads.telemetry(named, _window(), None, [])
    marked = json.loads(payloads.as_buffered(payload))
    assert marked.pop("buffered") is True
    assert marked == json.loads(payload)


def test_quotes_and_backslashes_survive():
    assert json.loads(payloads.text('a"b\\c')) == 'a"b\\c'


def test_the_last_will_has_no_time():
    will = json.loads(payloads.status("oven-001", "offline", 3))
    assert will == {"device_id": "oven-001", "state": "offline", "boot": 3}
