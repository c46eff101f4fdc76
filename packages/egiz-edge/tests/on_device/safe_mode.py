"""What safe mode connects with: what the app would, whatever is in flash."""

import json
import os
import sys

import _flash


class _Machine:
    """Of a board; nothing here resets it."""

    WDT = reset = None


class _Umqtt:
    """The stock client, of a broker with which no session begins."""

    tried = opened = 0  # connections

    def __init__(self, *_args, **_more):
        self.sock = None

    set_callback = set_last_will = lambda *_: None

    def connect(self):
        self.sock = self
        _Umqtt.tried += 1
        _Umqtt.opened += 1
        raise OSError("handshake")

    def close(self):
        _Umqtt.opened -= 1


class _Module:
    """`umqtt.simple`."""

    MQTTClient = _Umqtt


sys.modules["machine"] = _Machine
sys.modules["umqtt"] = sys.modules["umqtt.simple"] = _Module

from egiz_edge import boot_loop, safe_mode  # noqa: E402  # it imports `machine`

safe_mode.print = lambda *_: None  # what a test prints is its result

DIRECTORY = _flash.directory()
GIVEN = {
    "facility": "factory",
    "device_id": "oven-001",
    "broker": "broker.lan",
    "user": "oven-001",
    "password": "secret",
    "wifi_ssid": "Factory",
}


def _found(config=None, **changed):
    settings = dict(GIVEN)
    settings.update(changed)
    for path in (DIRECTORY, DIRECTORY + "/data"):
        try:
            os.mkdir(path)
        except OSError:
            pass
    with open(DIRECTORY + "/settings.json", "w") as file:
        file.write(json.dumps(settings))
    with open(DIRECTORY + "/data/config.json", "w") as file:
        file.write(json.dumps(config or {}))
    return safe_mode.provisioned(DIRECTORY)


def _has_password(found):
    return (found["user"], found["password"]) == ("oven-001", "secret")


class _Time:
    """Moves by sleeping only; also the watchdog, and how long it was not fed."""

    def __init__(self):
        self.now = self.fed = self.longest = 0

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, later, earlier):
        return later - earlier

    def sleep_ms(self, ms):
        self.now += ms

    def __call__(self, timeout):
        assert timeout == 60000
        return self

    def feed(self):
        self.longest = max(self.longest, self.now - self.fed)
        self.fed = self.now


def test_it_tries_each_five_seconds_and_after_a_quarter_of_an_hour_the_app():
    _found()
    printed, resets = set(), []
    safe_mode.time = safe_mode.WDT = moved = _Time()
    safe_mode.print, safe_mode.reset = printed.add, lambda: resets.append(moved.now)
    data = DIRECTORY + "/data"
    safe_mode.main(DIRECTORY, data, 5, "crash: test")
    assert resets == [15 * 60 * 1000]
    reason = "safe mode: " + repr(OSError("handshake"))
    assert printed == {"safe mode: crash: test", reason}
    assert (_Umqtt.tried, _Umqtt.opened) == (15 * 60 // 5, 0)
    assert moved.longest <= 500
    # One boot of the app that is not confirmed, and safe mode is back.
    assert boot_loop.read(data)[0] == 4


def test_settings_of_a_wrong_type_are_left_out():
    for wrong in (7, True, [], {"x": 1}, 1.5, ""):
        found = _found(user=wrong, wifi_ssid=wrong, wifi_password=wrong)
        for name in ("user", "wifi_ssid", "wifi_password"):
            assert found[name] is None, wrong
    for wrong in ("1883", None, [1883], 1883.5):
        assert _found(port=wrong)["port"] == 1883
    assert _found(port=8884)["port"] == 8884


def test_a_configuration_that_is_damaged_changes_nothing():
    for wrong in ({"wifi_ssid": 7}, {"wifi_ssid": ""}, [1], 7, "x"):
        found = _found(wrong)
        assert (found["wifi_ssid"], found["broker"]) == ("Factory", "broker.lan")
        assert _has_password(found)


def test_the_password_is_kept_from_who_does_not_get_it_from_the_app():
    new_broker, new_network = {"mqtt_broker": "elsewhere"}, {"wifi_ssid": "Elsewhere"}
    assert _has_password(_found())
    assert not _has_password(_found(new_broker))
    assert not _has_password(_found(new_network))
    assert _has_password(_found(new_network, wifi_password="of-this-factory"))
    assert not _has_password(_found(new_broker, wifi_password="of-this-factory"))
    for config in (new_broker, new_network):
        assert _has_password(_found(config, password_for_any_broker=True))
        assert not _has_password(_found(config, password_for_any_broker="yes"))
        assert _has_password(_found(config, tls={"ca": "ca.der"}))


def test_the_network_of_an_escaped_emoji_is_found():
    halves, oven = "\ud83d\udd25", "\U0001f525"
    assert _found(wifi_ssid=halves * 8)["wifi_ssid"] == oven * 8
    assert _found({"wifi_ssid": halves})["wifi_ssid"] == oven
    assert _found(wifi_ssid="\ud83d")["wifi_ssid"] is None
