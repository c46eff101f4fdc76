"""What a running board does about its portal while there is no Wi-Fi."""

from _board import Log, Store
from _ticks import Ticks
from egiz_edge import joined
from egiz_edge.portal import network
from egiz_edge.ticker import Backoff

LABEL = "egiz-ab12 abcdefghjkmn 123456"


class ResetError(Exception):
    """A board that is reset does not go on."""


class Thing:
    """Whatever has the attributes that it is given."""

    def __init__(self, **given):
        for name, value in given.items():
            setattr(self, name, value)


class Point:
    """The access point; `opened` is the name of its network."""

    def __init__(self):
        self.opened = None
        self.phones = 0
        self.fails = False

    def start(self, ssid, key):
        assert key == "abcdefghjkmn"
        if self.fails:
            raise OSError("access point: Wifi Internal Error")
        self.opened = ssid

    def stop(self):
        self.opened = None

    def clients(self):
        return self.phones


class Device:
    """As the `App` of a board: what it does while no button and no outage is there."""

    def __init__(self, label=LABEL, joined="Factory", ap_after=300):
        self.point, self.is_up, self.level = Point(), False, 0
        self.cause = "reboot"
        self.time = Ticks()
        store = Store()
        if label:
            store.put("label", label)
        if joined:
            store.put("joined", joined)
        self.board = Thing(
            store=store,
            pins={"button": Thing(value=lambda: self.level)},
            access_point=lambda: self.point,
            data_directory="/there is none/data",
            reset_cause=lambda: self.cause,
        )
        self.settings = Thing(wifi_ssid="Factory", given={})
        if ap_after != 300:
            self.settings.given["ap_after"] = ap_after
        self.downlink = Thing(is_on_trial=False)
        self.uplink = Thing(network=Backoff())
        self.log = Log()
        self.up_ticks = 0
        self.watch = None

    def reset(self, cause):
        raise ResetError(cause)

    def run_s(self, seconds):
        """Gives the cause of a reset, or None."""
        until = self.time.now + 1000 * seconds
        try:
            while self.time.now < until:
                self.time.now += 500
                self._look()
        except ResetError as error:
            return error.args[0]
        return None

    def _look(self):
        now = self.time.ticks_ms()
        if self.is_up:
            self.up_ticks = now
        away_ms = self.time.ticks_diff(now, self.up_ticks)
        away_ms = away_ms if away_ms >= 60000 else 0
        if away_ms or self.watch or self.level:
            self.watch = network.check(self, self.watch, away_ms)
            if self.watch is None:
                self.up_ticks = now


def test_with_a_wifi_that_was_joined_once_the_network_opens_after_five_minutes():
    device = Device()
    assert device.run_s(299) is None
    assert device.point.opened is None
    assert device.run_s(3600) is None
    assert device.point.opened == "egiz-ab12"
    for _ in range(20):  # it is searched for less than once in half a minute
        assert 30000 <= device.uplink.network.next_ms() <= 60000
    device.is_up = True
    assert device.run_s(1) is None
    assert device.point.opened is None
    assert device.uplink.network.next_ms() <= 250
    device.is_up = False
    assert device.run_s(299) is None  # it begins again
    assert device.point.opened is None


def test_after_a_portal_without_use_an_hour_is_measured():
    device = Device()
    device.board.store.put("unused", "1")
    assert device.run_s(3599) is None
    assert device.point.opened is None
    assert device.run_s(2) is None
    assert device.point.opened == "egiz-ab12"
    device.is_up = True
    assert device.run_s(1) is None
    device.is_up = False  # another outage
    assert device.run_s(310) is None
    assert device.point.opened == "egiz-ab12"


def test_a_power_on_is_one_of_a_person_and_no_setting_is_overruled():
    device = Device()
    device.cause = "power_on"
    device.board.store.put("unused", "1")
    assert device.run_s(310) is None
    assert device.point.opened == "egiz-ab12"
    never = Device(ap_after=0)
    never.board.store.put("unused", "1")
    assert never.run_s(7200) is None
    assert never.point.opened is None


def test_a_phone_in_the_network_has_the_board_reset_into_its_portal():
    device = Device(ap_after=70)
    assert device.run_s(80) is None
    device.point.phones = 1
    assert device.run_s(1) == "portal: phone"


def test_a_wifi_that_was_never_joined_leads_to_the_portal_after_a_minute():
    for ssid in (None, "Another"):
        device = Device(joined=ssid)
        assert device.run_s(59) is None
        assert device.run_s(2) == "portal: never joined"


def test_each_of_two_networks_that_were_joined_in_turn_is_known_to_be_right():
    store, written = Store(), []
    for ssid in 3 * ["Factory", "Office"]:
        joined.keep(store, ssid)
        written.append(store.get("joined"))
    assert written[1:] == 5 * ["Factory\nOffice"]  # so it costs no flash again
    device = Device(joined=written[-1])
    assert device.run_s(3600) is None
    assert device.point.opened == "egiz-ab12"
    for number in range(9):
        joined.keep(store, "x" * 31 + str(number))
    assert len(store.get("joined").split("\n")) == 4
    assert "Factory" not in store.get("joined")


def test_a_board_that_may_not_opens_nothing():
    for device in (Device(label=None), Device(ap_after=0, joined=None)):
        device.time.now = 7 * 86400000  # the difference of the ticks has wrapped
        assert device.run_s(700) is None
        assert device.point.opened is None


def test_a_network_on_trial_is_not_taken_for_one_that_was_never_joined():
    device = Device()
    device.settings.wifi_ssid, device.downlink.is_on_trial = "New", True
    assert device.run_s(130) is None
    device.settings.wifi_ssid, device.downlink.is_on_trial = "Factory", False
    assert device.run_s(250) is None


def test_an_access_point_that_cannot_be_opened_is_tried_again():
    device = Device(ap_after=70)
    device.point.fails = True
    assert device.run_s(200) is None
    assert len(device.log.lines) == 2
    device.point.fails = False
    assert device.run_s(80) is None
    assert device.point.opened == "egiz-ab12"


def test_a_held_button_is_followed_beside_an_outage():
    device = Device(ap_after=70)
    assert device.run_s(75) is None
    device.level = 1
    assert device.run_s(4) is None
    device.level = 0
    assert device.run_s(1) == "portal: button"
    assert device.point.opened == "egiz-ab12"
