"""When a portal of a board with settings ends by itself."""

import asyncio

from _board import Log, Store
from _ticks import Ticks
from egiz_edge.portal import way_back
from egiz_edge.portal.way_back import ALONE_MS, RETRY_MS, WayBack

SETTINGS = {"wifi_ssid": "Factory", "wifi_password": "a password"}


class Wifi:
    def __init__(self):
        self.is_there = False
        self.tries = []

    def configure(self, ssid, password):
        self.tries.append((ssid, password))

    async def connect(self):
        await asyncio.sleep(0)
        if not self.is_there:
            raise OSError("Wi-Fi: no network")


class Session:
    """As its own access point and board."""

    def __init__(self):
        self.access_point = self.board = self
        self.wifi = Wifi()
        self.store = Store()
        self.phones = 0
        self.is_used = False

    def clients(self):
        return self.phones


async def _rounds(back, seconds):
    """Whether it is over within so many seconds."""
    for _ in range(seconds):
        way_back.time.now += 1000
        if back.is_over():
            return True
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return False


def _begin(is_asked, settings=SETTINGS):
    way_back.time = Ticks()
    session = Session()
    return session, WayBack(session, settings, is_asked, Log())


async def _until_the_wifi_is_back():
    session, back = _begin(False)
    assert not await _rounds(back, 150)
    assert session.wifi.tries == 2 * [("Factory", "a password"), (None, None)]
    session.wifi.is_there = True
    assert await _rounds(back, 61)


async def _not_while_a_phone_is_there():
    session, back = _begin(False)
    session.phones, session.wifi.is_there = 1, True
    for _ in range(3):
        assert not await _rounds(back, ALONE_MS // 1000)
        session.is_used = True  # it asks for the page
    assert session.wifi.tries == []
    session.phones = 0
    assert await _rounds(back, 2 * RETRY_MS // 1000)


async def _ten_minutes_alone():
    session, back = _begin(True)
    session.wifi.is_there = True
    assert not await _rounds(back, ALONE_MS // 1000)
    assert await _rounds(back, 1)
    assert session.wifi.tries == []  # a person has asked for the portal
    assert session.store.get("unused") is None


async def _a_phone_that_asks_for_nothing():
    session, back = _begin(False)
    session.phones = 1
    assert await _rounds(back, 2 + ALONE_MS // 1000)
    assert session.store.get("unused") == "1"
    back.stop()  # somebody has sent the form
    assert session.store.get("unused") is None


async def _left_to_a_trial():
    session, back = _begin(False)
    session.wifi.is_there = True
    way_back.time.now += RETRY_MS + 1000
    assert not back.is_over()
    back.stop()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not back.is_over()
    session, back = _begin(False, {"facility": "bakery"})  # names no Wi-Fi
    assert not await _rounds(back, 300)
    assert session.wifi.tries == []


def test_it_ends_when_the_wifi_is_back_which_is_tried_once_a_minute():
    asyncio.run(_until_the_wifi_is_back())


def test_the_wifi_is_not_tried_while_a_phone_is_there():
    asyncio.run(_not_while_a_phone_is_there())


def test_one_that_a_person_opened_ends_after_ten_minutes_without_a_phone():
    asyncio.run(_ten_minutes_alone())


def test_one_that_a_phone_opened_and_no_one_used_is_noted_until_a_form_is_sent():
    asyncio.run(_a_phone_that_asks_for_nothing())


def test_the_trial_of_a_form_has_the_wifi_for_itself():
    asyncio.run(_left_to_a_trial())
