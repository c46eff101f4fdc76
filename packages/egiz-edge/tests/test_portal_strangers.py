"""Whatever strangers send to a portal: page, settings and heap stay as they are."""

import json
import random
import socket
import time

import pytest
from egiz_edge_tools.hardware import Hardware, Network
from rig.phone import ADDRESS, PortalBoard
from rig.waiting import eventually

SETTINGS = {
    "wifi_ssid": "Factory",
    "wifi_password": "a password",
    "device_id": "oven-007",
    "facility": "bakery",
    "broker": "broker.lan",
}
# The portal, and what its heap is once a second.
PROGRAM = """
import asyncio, gc, sys
from egiz_edge.portal import session
run = session.Session.run
async def watched(opened):
    watch = asyncio.create_task(report())
    is_over = await run(opened)
    watch.cancel()
    return is_over
async def report():
    while True:
        await asyncio.sleep(1)
        gc.collect()
        print("heap", gc.mem_alloc())
session.Session.run = watched
from egiz_edge.main import main
main(sys.argv[1])
"""
HEAD = b"POST /save HTTP/1.1\r\nHost: " + ADDRESS.encode() + b"\r\n"
JUNK = (
    (bytes(600), b"431"),
    (b"GET /" + b"a" * 600, b"431"),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 25 + b"\r\n", b"431"),
    (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 8174, b"431"),
    (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 601 + b"\r\n") * 13 + b"X" * 299, b"431"),
    (HEAD + b"\r\n", b"411"),
    (HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
    (HEAD + b"Content-Length: 99999\r\n\r\n", b"413"),
    (HEAD + b"Content-Length: 2049\r\n\r\n", b"413"),
    (HEAD + b"Content-Length: \xd9\xa3\r\n\r\n", b"400"),
    (HEAD + b"Content-Length: 9\r\n\r\n%zz=1&a=2", b"400"),
    (HEAD + b"Content-Length: 9\r\n\r\na=K\xfcche&b", b"400"),
    (HEAD + b"Content-Length: 2048\r\n\r\n" + b"a=1&" * 512, b"400"),
    (HEAD + b"Content-Length: 2048\r\n\r\n" + b"a=" + b"1" * 2046, b"200"),
    (b"\xff\xfe / HTTP/1.1\r\n\r\n", b"400"),
    (b"PUT / HTTP/1.1\r\n\r\n", b"405"),
)
REQUESTS = 1000
NOISE = 512  # bytes of heap, of what the loop has under way
WARM = 200  # requests, until the heap has the form that it keeps


@pytest.fixture
def portal(micropython, tmp_path):
    """A board with settings, whose portal a person has opened."""
    del micropython  # whether there is an interpreter
    flash = tmp_path / "flash"
    (flash / "data").mkdir(parents=True)
    (flash / "settings.json").write_text(json.dumps(SETTINGS))
    (flash / "data/boots").write_text("0 portal: command")
    hardware = Hardware(networks={"Factory": Network("a password")})
    opened = PortalBoard(flash, hardware, "88k", PROGRAM)
    yield opened
    lines = [line for line in opened.output if not line.startswith("heap ")]
    print(*lines, sep="\n")  # noqa: T201  # shown if it fails
    opened.close()


def _heap(portal):
    """The least of three figures, while nothing is sent."""
    begun = len(portal.output)

    def figures():
        lines = [line for line in portal.output[begun:] if line.startswith("heap ")]
        return [int(line.split()[1]) for line in lines]

    eventually(lambda: len(figures()) > 3)
    return min(figures()[1:])


def _send_junk(phone, count):
    """As many requests as that: each kind in turn, then what is not even a request."""
    junk = random.Random(count)
    forms = phone.get().fields
    for number in range(count):
        kind = number % (len(JUNK) + 4)
        if kind < len(JUNK):
            request, status = JUNK[kind]
            assert phone.raw(request).startswith(b"HTTP/1.1 " + status), request[:40]
        elif kind == len(JUNK):  # half a request, and away
            with socket.create_connection(("127.0.0.1", phone.port)) as one:
                one.sendall(HEAD + b"Content-Le")
        elif kind == len(JUNK) + 1:
            phone.raw(junk.randbytes(junk.randrange(1, 600)) + b"\n\n")
        elif kind == len(JUNK) + 2:
            assert phone.post(forms | {"token": junk.randbytes(8).hex()}).status == 200
        else:
            assert phone.post(forms | {"pin": f"{junk.randrange(10**6)}"}).status == 200
        phone.send_datagram(junk.randbytes(junk.randrange(600)))


def test_a_thousand_junk_requests_leave_heap_and_settings_as_they_are(portal):
    phone = portal.phone()
    _send_junk(phone, WARM)
    before = _heap(portal)
    _send_junk(phone, REQUESTS)
    after = _heap(portal)
    assert abs(after - before) <= NOISE
    assert portal.settings == SETTINGS
    assert phone.get().fields["device_id"] == "oven-007"
    assert "Too many" in phone.fill().said[0]  # of its wrong PINs
    assert not [line for line in portal.output if "Memory" in line]
    assert portal.board.boots == ["power_on"]


def test_cookies_of_other_devices_at_this_address_keep_the_page_from_no_phone(portal):
    phone = portal.phone()
    for size in (500, 520, 769, 4000):
        cookie = b"Cookie: a=" + b"b" * (size - 1) + b"\xfc\r\n"  # as some set them
        language = b"Accept-Language: de\r\n"
        host = b"Host: " + ADDRESS.encode() + b"\r\n"
        got = phone.raw(b"GET / HTTP/1.1\r\n" + host + cookie + language + b"\r\n")
        assert got.startswith(b"HTTP/1.1 200 "), size
        assert b'lang="de"' in got
        posted = phone.raw(HEAD + cookie + b"Content-Length: 7\r\n\r\ntoken=1")
        assert posted.startswith(b"HTTP/1.1 200 "), size
    origin = b"Origin: http://" + b"b" * 600 + b"\r\n"
    refused = phone.raw(HEAD + origin + b"Content-Length: 7\r\n\r\ntoken=1")
    assert refused.startswith(b"HTTP/1.1 403 ")


def test_the_page_comes_within_a_second_beside_four_idle_sockets(portal):
    phone = portal.phone()
    needed = []
    for _ in range(5):
        idle = [socket.create_connection(("127.0.0.1", phone.port)) for _ in range(4)]
        begun = time.monotonic()
        assert phone.get().status == 200
        needed.append(time.monotonic() - begun)
        for one in idle:
            one.close()
    assert min(needed) < 1  # this machine may have much else to do
