"""SNTP replies: the true one, and those that must not set a clock."""

import asyncio

import _sockets
from _name_server import NameServer
from _ticks import Real
from egiz_edge import sntp
from egiz_edge.sntp import SntpError, parse, request

NONCE = b"\x11\x22\x33\x44\x55\x66\x77\x88"
NOW_S = 1795560732  # 2026-11-24
WINDOW_MS = (1767225600000, 4102444800000)
_1900 = 2208988800


def _timestamp(ms):
    seconds = (ms // 1000 + _1900) & 0xFFFFFFFF
    return seconds.to_bytes(4, "big") + ((ms % 1000 << 32) // 1000 + 1).to_bytes(
        4, "big"
    )


def _reply(first=0x24, stratum=2, **other):
    """LI 0, version 4, mode 4; received at NOW_S, sent 10 ms later."""
    received_ms = other.get("received_ms", NOW_S * 1000)
    sent_ms = other.get("sent_ms", received_ms + 10)
    return (
        bytes([first, stratum, 6, 0xE9])
        + bytes(4)
        + other.get("dispersion", 0x200).to_bytes(4, "big")
        + other.get("reference", b"GPS\x00")
        + _timestamp(received_ms - 60000)
        + other.get("origin", NONCE)
        + _timestamp(received_ms)
        + _timestamp(sent_ms)
    )


def _error_of(reply, round_trip_ms=50):
    try:
        parse(reply, NONCE, round_trip_ms, WINDOW_MS)
    except SntpError as error:
        return error.args[0]
    raise AssertionError("no error")


def test_a_request_is_that_of_a_client_and_contains_no_time():
    packet = request(NONCE)
    assert len(packet) == 48
    assert packet[0] == 0x23
    assert packet[1:40] == bytes(39)
    assert packet[40:] == NONCE


def test_half_of_the_round_trip_is_added_to_the_time_of_sending():
    assert parse(_reply(), NONCE, 50, WINDOW_MS) == NOW_S * 1000 + 10 + 20


def test_milliseconds_survive_the_fraction():
    for ms in (0, 1, 499, 500, 999):
        now_ms = NOW_S * 1000 + ms
        reply = _reply(received_ms=now_ms, sent_ms=now_ms)
        assert parse(reply, NONCE, 0, WINDOW_MS) == now_ms


def test_the_era_after_february_2036_is_understood():
    for now_s in (2085978495, 2085978496, 2085978497, 4102444000):
        reply = _reply(received_ms=now_s * 1000, sent_ms=now_s * 1000)
        assert parse(reply, NONCE, 0, WINDOW_MS) == now_s * 1000


def test_a_reply_to_another_request_is_refused():
    assert _error_of(_reply(origin=bytes(8))) == "reply to another request"
    assert _error_of(_reply(origin=NONCE[:7] + b"\x89")) == "reply to another request"


def test_a_packet_that_is_not_of_a_server_is_refused():
    assert _error_of(b"") == "not a reply"
    assert _error_of(_reply()[:47]) == "not a reply"
    for mode in (0, 1, 2, 3, 5, 6, 7):
        assert _error_of(_reply(first=0x20 | mode)) == "not a reply"


def test_a_kiss_of_death_is_recognized():
    reply = _reply(first=0xE4, stratum=0, reference=b"RATE")
    assert _error_of(reply) == "kiss of death: RATE"


def test_a_kiss_of_death_without_our_nonce_is_refused():
    reply = _reply(first=0xE4, stratum=0, reference=b"DENY", origin=bytes(8))
    assert _error_of(reply) == "reply to another request"


def test_a_server_that_is_not_synchronized_is_refused():
    assert _error_of(_reply(first=0xE4)) == "server is not synchronized"
    assert _error_of(_reply(stratum=16)) == "server is not synchronized"
    assert (
        _error_of(_reply(dispersion=0x10000))
        == "root dispersion of the server above 1 s"
    )


def test_an_impossible_time_is_refused():
    for now_s in (0, 946684800, 1767225599, 4102444800):
        reply = _reply(received_ms=now_s * 1000, sent_ms=now_s * 1000)
        assert _error_of(reply, 0).startswith("impossible time")


def test_a_reply_without_a_time_is_not_that_of_2036():
    reply = _reply()[:32] + bytes(16)
    assert _error_of(reply) == "no time in the reply"


def test_a_server_that_answers_within_a_millisecond_is_believed():
    # Times have lost their fractions: the server seems to need longer than the reply.
    now_ms = NOW_S * 1000 + 1
    reply = _reply(received_ms=now_ms - 1, sent_ms=now_ms)
    assert parse(reply, NONCE, 0, WINDOW_MS) == now_ms


class _Stream:
    """Stands in for a stream of MicroPython, which CPython's asyncio does not have."""

    def __init__(self, sock):
        self._sock = sock

    async def read(self, length):
        while True:
            await asyncio.sleep(0.01)
            try:
                return self._sock.recv(length)
            except OSError:
                continue


class _Asyncio:
    StreamReader, TimeoutError = _Stream, asyncio.TimeoutError
    wait_for = staticmethod(asyncio.wait_for)


def test_a_reply_without_a_byte_ends_a_query_and_does_not_block():
    server = NameServer(lambda _: [b""])
    kept = sntp.asyncio, sntp.socket, sntp.time
    sntp.asyncio, sntp.socket, sntp.time = _Asyncio, _sockets, Real()

    async def run():
        serving = asyncio.create_task(server.serve())
        try:
            await sntp.ask(server.address[0], server.address[1], WINDOW_MS)
        except SntpError as error:
            return error.args[0]
        finally:
            serving.cancel()

    try:
        assert asyncio.run(run()) == "not a reply"
    finally:
        sntp.asyncio, sntp.socket, sntp.time = kept
        server.socket.close()


def test_times_of_a_server_that_contradict_each_other_are_refused():
    now_ms = NOW_S * 1000
    assert "contradict each other" in _error_of(_reply(sent_ms=now_ms + 52), 50)
    assert "contradict each other" in _error_of(_reply(sent_ms=now_ms - 1), 50)
