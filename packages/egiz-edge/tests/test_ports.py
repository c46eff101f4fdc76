"""The ports: one interface; and the ESP32 port, with its modules simulated."""

import ast
import asyncio
import importlib
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parent / "on_device"))

from _ticks import DAY_MS, Ticks


def _interface(port):
    """Public methods with their arguments, and what a Board has."""
    directory = files("egiz_edge") / "ports"
    sources = [one for one in directory.iterdir() if one.name.startswith(port)]
    trees = [ast.parse(source.read_text()) for source in sources]
    found = {}
    for owner in [statement for tree in trees for statement in tree.body]:
        if not isinstance(owner, ast.ClassDef) or owner.name.startswith("_"):
            continue
        for member in owner.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                if member.name.startswith("_"):
                    continue
                arguments = [argument.arg for argument in member.args.args]
                kind = type(member).__name__
                found[f"{owner.name}.{member.name}"] = (kind, arguments)
        if owner.name == "Board":
            found |= {f"Board.{name}": "attribute" for name in _attributes(owner)}
    return found


def _attributes(owner):
    for node in ast.walk(owner):
        is_set = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if is_set and not node.attr.startswith("_"):
            yield node.attr


def test_both_boards_have_the_same_members_and_arguments():
    virtual, esp32 = _interface("virtual"), _interface("esp32")
    del virtual["Pin.value"]  # the other's is machine.Signal
    assert virtual == esp32
    documented = importlib.import_module("egiz_edge.ports").__doc__
    for member in virtual:
        assert f"{member.split('.')[1]}" in documented


class Wlan:
    """network.WLAN, as far as a station sees it."""

    IF_STA, PM_NONE = 0, 0

    latest = None

    def __init__(self, _interface):
        Wlan.latest = self
        self.calls = []
        self.answers = []  # of status(), the last for ever
        self.address = None
        self.near, self.scans = [], 0  # access points, as scan() lists them

    def active(self, *on):
        self.calls += on
        return bool(self.calls)

    def config(self, **options):
        self.calls.append(options)

    def connect(self, ssid, password, **bssid):
        self.calls.append((ssid, password, *bssid.values()))

    def disconnect(self):
        self.calls.append("disconnect")

    def scan(self):
        self.scans += 1
        if isinstance(self.near, Exception):
            raise self.near
        return self.near

    def isconnected(self):
        return self.status() == 1010

    def status(self, what=None):
        if what == "rssi":
            raise OSError
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Nvs:
    """esp32.NVS: blobs, an OSError for what is not there, writes counted."""

    latest = None

    def __init__(self, _namespace):
        Nvs.latest = self
        self.kept = {}
        self.commits = 0

    def get_blob(self, key, buffer):
        if key not in self.kept:
            raise OSError(-4354)
        value = self.kept[key]
        if len(value) > len(buffer):
            raise OSError(-4364)
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key, value):
        self.kept[key] = bytes(value)

    def erase_key(self, key):
        if self.kept.pop(key, None) is None:
            raise OSError(-4354)

    def commit(self):
        self.commits += 1


@pytest.fixture
def machine():
    memory = [b""]

    def remember(*given):
        if given:
            memory[0] = given[0]
        return memory[0]

    def reset():
        simulated.resets += 1

    simulated = SimpleNamespace(
        resets=0,
        reset=reset,
        PWRON_RESET=1,
        HARD_RESET=2,
        WDT_RESET=3,
        DEEPSLEEP_RESET=4,
        SOFT_RESET=5,
        RTC=lambda: SimpleNamespace(memory=remember, datetime=None),
    )
    return simulated


@pytest.fixture
def esp32(monkeypatch, machine):
    network = SimpleNamespace(
        WLAN=Wlan,
        STAT_IDLE=1000,
        STAT_CONNECTING=1001,
        STAT_GOT_IP=1010,
        STAT_NO_AP_FOUND=201,
        STAT_WRONG_PASSWORD=202,
        STAT_HANDSHAKE_TIMEOUT=204,
        STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD=211,
    )
    simulated = {
        "machine": machine,
        "network": network,
        "esp32": SimpleNamespace(NVS=Nvs),
        "onewire": ModuleType("onewire"),
    }
    for name, module in simulated.items():
        monkeypatch.setitem(sys.modules, name, module)
    names = ("egiz_edge.ports.esp32", "egiz_edge.ports.esp32_wifi")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    port, wifi = map(importlib.import_module, names)
    monkeypatch.setattr(wifi, "_POLL_S", 0)
    ticks = SimpleNamespace(
        ticks_ms=lambda: 0, ticks_diff=lambda a, b: a - b, sleep_ms=lambda _: None
    )
    monkeypatch.setattr(wifi, "time", ticks)
    monkeypatch.setattr(port, "wifi", wifi, raising=False)
    yield port
    for name in names:
        sys.modules.pop(name, None)


def _join(wifi, answers):
    Wlan.latest.answers = answers
    asyncio.run(wifi.connect())


def test_it_joins_without_the_drivers_reconnection_or_power_saving(esp32):
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    _join(wifi, [1001, 1001, 1001, 1010])
    calls = Wlan.latest.calls
    assert calls == [True, {"reconnects": 0, "pm": 0}, ("Factory", "key")]
    assert wifi.is_up()
    asyncio.run(wifi.connect())
    assert len(calls) == 3  # joined already
    assert wifi.rssi() is None  # lost between the two calls


def _near(*points):
    return [(ssid, bssid, 6, rssi, 3, False) for ssid, bssid, rssi in points]


@pytest.mark.parametrize(
    ("near", "expected"),
    [
        ([(b"Factory", b"a", -80), (b"Factory", b"b", -50), (b"X", b"c", -9)], b"b"),
        ([(b"Factory", b"a", -50), (b"Factory", b"b", -80)], b"a"),
        ([(b"Factory", b"a", -50), (b"X", b"b", -9)], None),  # there is no choice
        ([(b"", b"a", -50), (b"X", b"b", -9)], None),  # it may be hidden
        ([], None),
    ],
)
def test_the_strongest_of_several_access_points_is_joined(esp32, near, expected):
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    Wlan.latest.near = _near(*near)
    _join(wifi, [1001, 1010])
    wanted = ("Factory", "key") if expected is None else ("Factory", "key", expected)
    assert Wlan.latest.calls[-1] == wanted


@pytest.mark.parametrize("error", [MemoryError(), OSError(), RuntimeError("Wifi")])
def test_a_scan_that_fails_does_not_keep_it_from_joining(esp32, error):
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    Wlan.latest.near = error
    _join(wifi, [1001, 1010])
    assert wifi.is_up()


def test_a_scan_which_blocks_is_made_once_in_five_minutes(esp32, monkeypatch):
    now = [0]
    monkeypatch.setattr(esp32.wifi.time, "ticks_ms", lambda: now[0])
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    Wlan.latest.near = _near((b"Factory", b"a", -80), (b"Factory", b"b", -50))
    for now[0] in range(0, 3_600_000, 10_000):  # an access point is away for an hour
        with pytest.raises(OSError, match="no network"):
            _join(wifi, [1001, 1001, 1001, 201])
    assert Wlan.latest.scans == 12
    joined = [call for call in Wlan.latest.calls if isinstance(call, tuple)]
    assert joined[:2] == [("Factory", "key", b"b"), ("Factory", "key")]


def test_after_a_week_in_the_network_the_strongest_access_point_is_looked_for_again(
    esp32, monkeypatch
):
    board = Ticks()
    monkeypatch.setattr(esp32.wifi.time, "ticks_ms", board.ticks_ms)
    monkeypatch.setattr(esp32.wifi.time, "ticks_diff", board.ticks_diff)
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    Wlan.latest.near = _near((b"Factory", b"a", -80), (b"Factory", b"b", -50))
    for board.now in (0, 7 * DAY_MS, 13 * DAY_MS):
        _join(wifi, [1001, 1010])
        assert Wlan.latest.calls[-1] == ("Factory", "key", b"b")
    assert Wlan.latest.scans == 3


def test_the_name_server_is_that_of_dhcp_and_none_where_it_gave_none(esp32):
    wifi = esp32.Wifi()
    Wlan.latest.ifconfig = lambda: ("10.0.0.2", "255.0.0.0", "10.0.0.1", "10.0.0.53")
    assert wifi.name_servers() == [("10.0.0.53", 53)]
    Wlan.latest.ifconfig = lambda: ("10.0.0.2", "255.0.0.0", "10.0.0.1", "0.0.0.0")
    assert wifi.name_servers() == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (201, "no network"),
        (202, "wrong password"),
        (204, "handshake failed"),
        (211, "no WPA2 there, but a password"),
        (203, "status 203"),
    ],
)
def test_a_failure_to_join_has_a_reason_and_leaves_the_driver_idle(
    esp32, status, reason
):
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    with pytest.raises(OSError, match=reason):
        _join(wifi, [1001, 1001, status])
    assert Wlan.latest.calls[-1] == "disconnect"


class Leaving:
    """A driver that says only later that a network is left, as that of ESP-IDF."""

    IF_STA, PM_NONE = 0, 0
    latest = None

    def __init__(self, _interface):
        Leaving.latest = self
        self.joined = self.wanted = None
        self.looks = 0  # until the event of a disconnection has arrived

    def active(self, *_):
        return True

    def config(self, **_):
        pass

    def scan(self):
        return []

    def connect(self, ssid, _key):
        assert not self.isconnected()
        self.wanted = ssid

    def disconnect(self):
        self.wanted, self.looks = None, 3

    def isconnected(self):
        if self.looks:
            self.looks -= 1
            if not self.looks:
                self.joined = None
        elif self.wanted:
            self.joined, self.wanted = self.wanted, None
        return self.joined is not None

    def status(self):
        return 1010 if self.joined else 1001


def test_the_network_until_now_is_not_taken_for_the_new_one(esp32, monkeypatch):
    monkeypatch.setattr(esp32.wifi.network, "WLAN", Leaving)
    wifi = esp32.Wifi()
    for ssid in ("Factory", "Office"):
        wifi.configure(ssid, "key")
        asyncio.run(wifi.connect())
        assert Leaving.latest.joined == ssid


def test_a_driver_that_has_nothing_to_leave_fails_as_the_network_does(esp32):
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")

    def fails():
        raise RuntimeError("Wifi Unknown Error 0xffffffff")

    Wlan.latest.disconnect = fails
    with pytest.raises(OSError, match="Wi-Fi: no network"):
        _join(wifi, [1001, 1001, 201])
    wifi.configure("Office", "key")


def test_an_error_that_micropython_has_no_words_for_is_one_of_the_network(esp32):
    wifi = esp32.Wifi()
    wifi.configure("Factory", "key")
    Wlan.latest.answers = [1001]

    def fails(*_):
        raise RuntimeError("Wifi Unknown Error 0x0102")

    Wlan.latest.connect = fails
    with pytest.raises(OSError, match="Wi-Fi: Wifi Unknown Error 0x0102"):
        asyncio.run(wifi.connect())


def test_a_network_that_does_not_answer_is_given_up(esp32, monkeypatch):
    clock = iter(range(0, 100_000, 4000))
    monkeypatch.setattr(esp32.wifi.time, "ticks_ms", lambda: next(clock))
    wifi = esp32.Wifi()
    with pytest.raises(OSError, match="not configured"):
        _join(wifi, [1000])
    wifi.configure("Factory", "key")
    with pytest.raises(OSError, match="no answer in time"):
        _join(wifi, [1001])
    assert next(clock) < 30_000


class Keeping:
    """A driver that keeps its last failure until it has an address.

    A join takes `join_s`; before `back_s` it finds no network, in 2.5 s. After 2.5 s it
    is associated, and then says its signal, unless it `is_mute`.
    """

    IF_STA, PM_NONE = 0, 0
    is_cleared = False  # whether `disconnect` in a try replaces the failure
    is_mute = False
    join_s, back_s = 3.0, 0.0

    def __init__(self, _interface):
        Keeping.now_s, self.ends_s, self.failure, self.is_up = 0.0, None, 0, False

    def active(self, *_):
        return True

    def config(self, **_):
        pass

    def connect(self, _ssid, _key):
        there = self.now_s >= self.back_s
        self.ends_s = self.now_s + (self.join_s if there else 2.5)
        self.will_be_up = there

    def disconnect(self):
        if self.ends_s is not None and self.is_cleared:
            self.failure = 0
        self.ends_s, self.is_up = None, False

    def isconnected(self):
        if self.ends_s is not None and self.now_s >= self.ends_s:
            self.ends_s, self.is_up = None, self.will_be_up
            self.failure = 0 if self.is_up else 201
        return self.is_up

    def status(self, *what):
        is_up = self.isconnected()
        if what and self.is_mute:
            raise TypeError
        if what and not is_up:
            left_s = (self.ends_s or 0) - self.now_s
            if not (self.will_be_up and 0 < left_s <= self.join_s - 2.5):
                raise OSError(0x300F)
        return 1010 if is_up else self.failure or 1001


@pytest.mark.parametrize("is_mute", [False, True])
@pytest.mark.parametrize("is_cleared", [False, True])
@pytest.mark.parametrize("join_s", [1.0, 4.0, 12.0])
def test_an_access_point_that_is_back_is_joined_though_the_driver_keeps_a_failure(
    esp32, monkeypatch, is_cleared, join_s, is_mute
):
    given = {"is_cleared": is_cleared, "join_s": join_s, "is_mute": is_mute}
    for name, value in given.items():
        monkeypatch.setattr(Keeping, name, value)
    monkeypatch.setattr(esp32.wifi.network, "WLAN", Keeping)
    monkeypatch.setattr(esp32.wifi, "_POLL_S", 0.1)

    async def sleep(seconds):
        Keeping.now_s += seconds

    monkeypatch.setattr(esp32.wifi, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(esp32.wifi.time, "ticks_ms", lambda: int(1000 * Keeping.now_s))
    for back_s in range(20, 60, 3):
        monkeypatch.setattr(Keeping, "back_s", float(back_s))
        wifi = esp32.Wifi()
        wifi.configure("Factory", "key")
        tries = 0
        while not wifi.is_up():
            tries += 1
            try:
                asyncio.run(wifi.connect())
            except OSError:
                Keeping.now_s += 1.5
        # From the start of the try that finds it, the rest is its own time.
        longest_s = 15 + 1.5 + 5 + 1.5 if is_mute else 5 + 0.2 + 1.5
        assert Keeping.now_s - back_s < longest_s + join_s
        assert tries < back_s / 3


def test_a_text_that_is_there_already_is_not_written_to_flash(esp32):
    store = esp32.Store()
    assert store.get("key") is None
    for _ in range(3):
        store.put("key", "für")
    store.put("key", "x" * 1024)
    assert store.get("key") == "x" * 1024
    assert Nvs.latest.commits == 2
    store.delete("key")
    store.delete("key")
    assert store.get("key") is None
    assert Nvs.latest.commits == 3
    with pytest.raises(ValueError, match="too long"):
        store.put("sixteen_letters_", "")


def test_a_reset_that_was_not_ordered_is_a_crash(esp32, machine):
    causes = []
    for code, is_ordered in ((1, 0), (2, 0), (2, 1), (2, 0), (3, 0), (4, 0)):
        machine.reset_cause = lambda code=code: code
        if is_ordered:
            esp32.Board.reboot(None)
        causes.append(esp32.reset_cause())
    assert machine.resets == 1
    assert causes == [
        "power_on",
        "crash",
        "reboot",
        "crash",
        "watchdog",
        "unknown",
    ]


def test_the_chip_id_is_what_the_manufacturer_wrote(esp32, machine):
    machine.unique_id = lambda: b"\xa0\xb1\xc2\xd3\xe4\xf5"
    assert esp32.Board.chip_id(None) == "a0b1c2d3e4f5"


def test_the_epoch_of_2000_stays_within_the_clock(esp32, machine, monkeypatch):
    ms = 1732492800123
    seconds_of_2000 = ms // 1000 - 946684800
    fields = (2024, 11, 25, 0, 0, 0, 0, 330)
    asked, set_to = [], []
    simulated = SimpleNamespace(
        gmtime=lambda seconds: asked.append(seconds) or fields,
        time_ns=lambda: seconds_of_2000 * 10**9 + 123_999_999,
    )
    monkeypatch.setattr(esp32, "time", simulated)
    monkeypatch.setattr(esp32, "_EPOCH_MS", 946684800000)
    machine.RTC = lambda: SimpleNamespace(datetime=set_to.append)
    clock = esp32.Clock()
    clock.set_ms(ms)
    assert asked == [seconds_of_2000]
    assert set_to == [(2024, 11, 25, 0, 0, 0, 0, 123_000)]
    assert (clock.now_ms(), clock.is_synced()) == (ms, True)
    simulated.time_ns = lambda: 86400 * 10**9
    assert not clock.is_synced()


class Line:
    """A 1-Wire line with the face of the stock driver, which notes what is written."""

    def __init__(self, parts=(), *, answers=True, is_low=False, bit=1):
        self._answers, self._bit = answers, bit
        self._parts = [bytearray(part) for part in parts]
        self.pin = SimpleNamespace(value=lambda: 0 if is_low else 1)
        self.written = []
        self.scans = 0

    def reset(self):
        return self._answers

    def scan(self):
        self.scans += 1
        return self._parts

    def writebyte(self, byte):
        self.written.append(byte)

    def select_rom(self, rom):
        self.written.append(rom)

    def readbit(self):
        return self._bit

    def readinto(self, buffer):
        buffer[:] = range(9)


def _on_line(esp32, line, method, *arguments):
    esp32.onewire.OneWire = lambda _pin: line
    bus = esp32.OneWire(None)
    return asyncio.run(getattr(bus, method)(*arguments))


def test_a_thermometer_is_found_and_read_with_the_commands_of_its_data_sheet(esp32):
    rom = bytes(range(8))
    line = Line([rom])
    assert _on_line(esp32, line, "search") == [rom]
    assert _on_line(esp32, line, "read_scratchpad", rom) == bytes(range(9))
    assert _on_line(esp32, line, "convert") is None
    assert line.written == [rom, 0xBE, 0xCC, 0x44]
    for bit, expected in ((0, True), (1, False)):
        line = Line([rom], bit=bit)
        assert _on_line(esp32, line, "is_parasitic", rom) is expected
        assert line.written == [rom, 0xB4]


def test_a_line_that_is_shorted_or_finds_hundreds_gives_no_part_that_is_not_there(
    esp32,
):
    # The stock driver's reset finds a part on a low line, and its scan finds 255.
    shorted = Line([bytes(8)] * 255, is_low=True)
    assert (_on_line(esp32, shorted, "search"), shorted.scans) == ([], 0)
    assert len(_on_line(esp32, Line([bytes(8)] * 255), "search")) == 32


def test_an_empty_line_gives_nothing_and_nothing_is_written_to_it(esp32):
    line = Line(answers=False)
    assert _on_line(esp32, line, "search") == []
    assert _on_line(esp32, line, "read_scratchpad", bytes(8)) == b""
    assert _on_line(esp32, line, "is_parasitic", bytes(8)) is False
    assert _on_line(esp32, line, "convert") is None
    assert (line.written, line.scans) == ([], 0)
