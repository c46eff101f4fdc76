"""Time: estimated, set, and corrected afterwards."""

import asyncio

from egiz_edge import payloads, time_sync, timekeeping
from egiz_edge.payloads import Window
from egiz_edge.timekeeping import Timekeeper

BUILT_MS = 1767225600000
YEAR_2000_MS = 946684800000
TRUE_MS = 1795560732123

# What a test replaces in a module must still be there when it is used.
timekeeping.unload = lambda *_names: None


class _Board:
    """Its clock stands still unless a test moves it."""

    def __init__(self, now_ms=YEAR_2000_MS, **stored):
        self.clock = self.store = self.wifi = self
        self.ms = now_ms
        self.stored = stored

    def now_ms(self):
        return self.ms

    def set_ms(self, ms):
        self.ms = ms

    def is_synced(self):
        return self.ms >= BUILT_MS

    def get(self, key):
        return self.stored.get(key)

    def put(self, key, text):
        self.stored[key] = text

    def is_up(self):
        return True


def _keeper(board):
    return Timekeeper(board, ("ntp.local", 123), 7, None, lambda _: None)


def _payload(keeper, boot=7):
    health = ['"uptime_seconds":5']
    if not keeper.is_synced():
        health.append('"time_synced":false')
    named = payloads.head("oven-001", keeper.now_ms(), 3, boot)
    return payloads.telemetry(named, Window(), None, health)


def test_an_unset_clock_goes_on_from_the_build_of_the_firmware():
    board = _Board()
    keeper = _keeper(board)
    board.ms += 1500
    assert keeper.now_ms() == BUILT_MS + 1500
    assert not keeper.is_synced()
    assert not keeper.is_ready()


def test_an_unset_clock_goes_on_from_the_last_known_time():
    board = _Board(time=str(TRUE_MS))
    keeper = _keeper(board)
    board.ms += 1500
    assert keeper.now_ms() == TRUE_MS + 1500


def test_a_clock_that_was_kept_over_the_reset_is_used():
    keeper = _keeper(_Board(TRUE_MS, time="1"))
    assert keeper.now_ms() == TRUE_MS
    assert keeper.is_synced()
    assert keeper.is_ready()


def test_messages_from_before_the_clock_was_set_get_their_true_time():
    board = _Board()
    keeper = _keeper(board)
    board.ms += 4000
    payload = _payload(keeper)
    assert b'"time_synced":false' in payload
    assert keeper.corrected(payload) == payload  # not known yet
    board.ms += 6000
    time_sync.set_clock(keeper, TRUE_MS)
    assert keeper.now_ms() == TRUE_MS
    expected = b'"timestamp":1795560726,"ms":123,"seq":3,"boot":7,'
    assert expected in keeper.corrected(payload)
    assert b"time_synced" not in keeper.corrected(payload)
    assert board.stored["time"] == str(TRUE_MS)


def test_what_an_earlier_boot_estimated_stays_an_estimate():
    board = _Board()
    keeper = _keeper(board)
    payload = _payload(keeper, boot=6)
    time_sync.set_clock(keeper, TRUE_MS)
    assert keeper.corrected(payload) == payload


def test_messages_from_after_the_clock_was_set_are_not_changed():
    board = _Board()
    keeper = _keeper(board)
    time_sync.set_clock(keeper, TRUE_MS)
    payload = _payload(keeper)
    assert keeper.corrected(payload) == payload


def test_a_jump_of_a_clock_that_is_set_needs_a_second_reply():
    board = _Board(TRUE_MS)
    keeper = _keeper(board)
    time_sync.set_clock(keeper, TRUE_MS + 59000)
    assert keeper.now_ms() == TRUE_MS + 59000
    for wrong_ms in (3600000, -3600000):
        now_ms = keeper.now_ms()
        try:
            time_sync.set_clock(keeper, now_ms + wrong_ms)
        except OSError as error:
            reason = error.args[0]
        seconds = str(wrong_ms // 1000)
        assert reason == "a jump of " + seconds + " s, to be confirmed"
        assert keeper.now_ms() == now_ms
        time_sync.set_clock(keeper, now_ms + wrong_ms)
        assert keeper.now_ms() == now_ms + wrong_ms


def test_messages_do_not_wait_for_a_server_that_refuses_to_answer():
    async def refused(_keeper):
        queries.append(1)
        raise OSError("kiss of death: RATE")

    async def run():
        keeper = Timekeeper(_Board(), ("ntp.local", 123), 7, None, log.append)
        reported = []
        keeper.on_ready = lambda: reported.append(keeper.is_ready())
        running = asyncio.create_task(keeper.run())
        await asyncio.sleep(0.05)
        running.cancel()
        return keeper, reported

    log, queries = [], []
    kept, time_sync.query = time_sync.query, refused
    try:
        keeper, reported = asyncio.run(run())
    finally:
        time_sync.query = kept
    assert reported == [True]
    assert not keeper.is_synced()
    assert b'"time_synced":false' in _payload(keeper)
    assert len(queries) == 1  # it is queried again, but not soon
    assert log == ["no time from ntp.local: kiss of death: RATE; trying again"]
