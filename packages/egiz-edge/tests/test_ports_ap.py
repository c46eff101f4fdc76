"""The access point of the ESP32, on a driver that does what its sources say.

They are named in egiz_edge/ports/esp32_ap.py; what they leave open is tried both ways.
"""

import importlib
import sys
from types import SimpleNamespace

import pytest

OPEN, WPA2 = 0, 3
STATION, POINT = 0, 1
MAC = b"\xa0\xb1\xc2\xd3\xe4\xf5"  # its last byte chooses the third of three channels


class Driver:
    """The Wi-Fi driver and what is on the air.

    Attributes:
        keeps_channel: as newer versions do.
        is_strict: whether an access point beside a station is configured once it is
            active only.
        is_joining: the station.
        security: what a configuration leads to; None: what it says.
        air: each name and protection that the access point has had.
        near: what a search finds, or the exception that it raises.
    """

    def __init__(self):
        self.keeps_channel, self.is_strict, self.is_joining = True, False, False
        self.security = None
        self.air, self.near = [], []
        self.modes = set()
        self.point = {
            "ssid": "ESP_C2D3E4",
            "key": "",
            "security": OPEN,
            "channel": 1,
            "max_clients": 4,
        }

    def send(self):
        if POINT in self.modes:
            self.air.append((self.point["ssid"], self.point["security"]))

    def configure(self, given):
        changed = self.point | given
        if "channel" in given:
            changed["channel"] = self._channel(given["channel"])
        if self.is_strict and self.modes == {STATION}:
            raise OSError("Wifi Invalid Mode")
        if changed["security"] != OPEN and len(changed["key"]) < 8:
            raise OSError("Wifi Invalid Password")
        if self.security is not None:
            changed["security"] = self.security
        self.point = changed
        self.send()

    def _channel(self, wanted):
        if self.keeps_channel:
            return wanted
        if not self.modes:
            raise OSError("Wifi Not Started")
        if self.is_joining:
            raise RuntimeError("Wifi Unknown Error 0xffffffff")
        return self.point["channel"]


class Wlan:
    """network.WLAN."""

    IF_STA, IF_AP, SEC_WPA2 = STATION, POINT, WPA2
    driver = None

    def __init__(self, interface):
        self._interface = interface

    def active(self, *wanted):
        modes = self.driver.modes
        if wanted and wanted[0] and self._interface not in modes:
            modes.add(self._interface)
            self.driver.send()
        elif wanted and not wanted[0]:
            modes.discard(self._interface)
        return self._interface in modes

    def config(self, *name, **given):
        assert self._interface == POINT
        if name:
            return MAC if name[0] == "mac" else self.driver.point[name[0]]
        if given.keys() - self.driver.point.keys():
            raise ValueError("unknown config param")
        return self.driver.configure(given)

    def status(self, what):
        assert (self._interface, what) == (POINT, "stations")
        if POINT not in self.driver.modes:
            raise OSError("Wifi Invalid Mode")
        return [(b"phone",)]

    def scan(self):
        if STATION not in self.driver.modes:
            raise OSError("STA must be active")
        if isinstance(self.driver.near, Exception):
            raise self.driver.near
        return [] if self.driver.is_joining else self.driver.near


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(Wlan, "driver", Driver())
    network = SimpleNamespace(WLAN=Wlan)
    monkeypatch.setitem(sys.modules, "network", network)
    yield Wlan.driver
    sys.modules.pop("egiz_edge.ports.esp32_ap", None)


@pytest.fixture
def point(driver, monkeypatch):
    del driver  # it is there before the port is loaded
    name = "egiz_edge.ports.esp32_ap"
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name).AccessPoint()


@pytest.mark.parametrize("keeps_channel", [True, False])
@pytest.mark.parametrize("is_strict", [True, False])
@pytest.mark.parametrize("has_station", [True, False])
@pytest.mark.parametrize("is_joining", [True, False])
def test_the_network_is_protected_whatever_the_driver_does(
    driver, point, keeps_channel, is_strict, has_station, is_joining
):
    driver.keeps_channel, driver.is_strict = keeps_channel, is_strict
    if has_station:
        driver.modes.add(STATION)
    driver.is_joining = is_joining
    point.start("egiz-ab12", "abcdefghjkmn")
    assert driver.point == {
        "ssid": "egiz-ab12",
        "key": "abcdefghjkmn",
        "security": WPA2,
        "channel": 11 if keeps_channel else 1,
        "max_clients": 2,
    }
    is_late = is_strict and has_station
    before = [("ESP_C2D3E4", OPEN)] if is_late else []  # for milliseconds
    assert driver.air[: len(before)] == before
    assert set(driver.air[len(before) :]) == {("egiz-ab12", WPA2)}
    assert point.clients() == 1
    point.stop()
    assert driver.modes == ({STATION} if has_station else set())
    assert point.clients() == 0


def test_a_network_that_would_stay_open_is_closed(driver, point):
    driver.security = OPEN
    with pytest.raises(OSError, match="access point: it would be open"):
        point.start("egiz-ab12", "abcdefghjkmn")
    assert driver.modes == set()
    driver.security = None
    with pytest.raises(OSError, match="Invalid Password"):
        point.start("egiz-ab12", "short")
    assert driver.modes == set()


def test_a_search_says_what_is_near_and_nothing_while_the_station_joins(driver, point):
    driver.near = [(b"Factory", b"1", 6, -60, 3, False), (b"", b"2", 1, -80, 0, False)]
    assert point.scan() == [(b"Factory", -60, False), (b"", -80, True)]
    driver.is_joining = True
    assert point.scan() == []
    for error in (OSError("Wifi Internal Error"), RuntimeError("Wifi Unknown Error")):
        driver.near = error
        assert point.scan() == []


def test_the_board_has_the_address_that_the_label_prints(point):
    assert (point.address, point.ports) == ("192.168.4.1", (80, 53))
