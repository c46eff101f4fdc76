"""Settings that cannot be used are named, each with what is needed."""

import json

import _flash
from egiz_edge.settings import Settings
from egiz_edge.settings_check import problems, unusable

GIVEN = {"facility": "bakery", "device_id": "oven-001", "broker": "broker.lan"}
GOOD = {
    "port": 8884,
    "user": None,
    "wifi_ssid": "Fabrik für Brot",
    "wifi_password": "12345678",
    "ntp": "time.lan:123",
    "ap_after": 0,
    "tls": {"ca": "ca.der", "cert": "c.der", "key": "k.der"},
    "zones": ["28ff641e8016044c"],
    "thermocouples": [["max6675", "tc_2"]],
    "states": [["proofing", "input_3"]],
    "setpoint": -1850,
    "sampling_rate_ms": 1000,
    "publish_rate_ms": 5000,
    "buffer_size": 100,
    "password_for_any_broker": False,
    "calibration": {
        "electrical_voltage_a": {"gain": 1.0023, "offset": -0.4},
        "electrical_active_power_c": {"gain": 1},
        "28ff641e8016044c": {"offset": -1},
        "tc_0": {"gain": 0.99},
    },
}
BAD = (
    ("port", ("1883", 0, 65536, True, 1883.0)),
    ("user", ("", 7, [])),
    ("wifi_ssid", ("", "x" * 33, 7, "a\0b")),
    ("wifi_password", ("short", 12345678, "x" * 65)),
    ("ap_after", (-1, 86401, "300", 1.5)),
    ("ntp", ("time.lan:abc", "time.lan:", ":123", 123, "time.lan:0")),
    ("tls", ({}, [], "ca.der", {"ca": 1}, {"ca": "c", "cert": "c"})),
    ("zones", (["28ff"], "28ff641e8016044c", [["x"]], ["0x28ff641e8016044"])),
    ("zones", (["28ff641e8016044c"] * 33,)),
    ("thermocouples", ([["max31856", "tc_0"]], [["max31855", "tc_7"]], ["max31855"])),
    ("states", ([["running", "runing"]], [["running"]], {"running": "running"})),
    ("setpoint", ("x", 18.5, 10**9)),
    ("sampling_rate_ms", ("1000", 99, 3600001, 0)),
    ("publish_rate_ms", (0, [], True)),
    ("buffer_size", (-1, "100", 10001)),
    ("password_for_any_broker", (1, "yes")),
    ("calibration", ([], {"electrical_voltage_a": 1.1}, {"electrical_voltage_a": {}})),
    ("calibration", ({"electrical_voltage_d": {"gain": 1}}, {"": {"gain": 1}})),
    ("calibration", ({"tc_0": {"gain": 2}}, {"tc_0": {"gain": "1"}})),
    ("calibration", ({"tc_0": {"gain": True}}, {"tc_0": {"offset": 101}})),
    ("calibration", ({"28FF641E8016044C": {"gain": 1}}, {"28ff": {"gain": 1}})),
    ("calibration", ({"tc_0": {"factor": 1}}, {"electrical_energy_wh_a": {"gain": 1}})),
    ("typo", (1,)),
)


def _with(name, value):
    changed = dict(GIVEN)
    changed[name] = value
    return changed


def test_what_can_be_used_is_not_named():
    assert problems(GIVEN) == {}
    for name, value in GOOD.items():
        assert problems(_with(name, value)) == {}, name


def test_what_cannot_be_used_is_named_and_left_out():
    for name, values in BAD:
        for value in values:
            changed = _with(name, value)
            assert list(problems(changed)) == [name], (name, value)
            settings = Settings(changed)
            assert name == "tls" or name not in settings.given
            assert list(settings.unusable) == [name]


def test_settings_without_identity_or_broker_are_unusable_and_say_what_is_needed():
    path = _flash.directory() + ".json"

    def reason(text):
        with open(path, "wb") as file:
            file.write(text)
        return unusable(path)

    assert reason(json.dumps(GIVEN).encode()) is None
    assert reason(json.dumps(_with("zones", ["28ff"])).encode()) is None
    wrong = reason(json.dumps(_with("broker", "broker.lan:1883")).encode())
    assert wrong.startswith("broker: must be a host name or address")
    assert reason(b'{"facility":"bakery"}').startswith("device_id: must be ")
    for damaged in (b"", b"\0" * 64, b"\xff" * 64, b'{"facility":"bak', b"[[[["):
        assert reason(damaged).startswith("cannot be read: "), damaged
    assert reason(b"[]") == "not a JSON object"
    good = json.dumps(GIVEN).encode()
    assert reason(b"\xef\xbb\xbf" + good).startswith("cannot be read: ")
    assert reason(good.replace(b",", b",\r\n") + b"\r\n") is None
    assert unusable(path + ".none").startswith("cannot be read: ")
