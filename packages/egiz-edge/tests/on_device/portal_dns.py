"""The name server of the portal."""

import asyncio
import os

import _sockets
from _name_server import bound
from egiz_edge.portal import dns

HEAD = b"ab\1\0\0\1\0\0\0\0\0\0"
NAME = b"\7captive\5apple\3com\0"
ADDRESS = "192.168.4.1"


def test_every_name_is_the_board():
    reply = dns.answer(HEAD + NAME + b"\0\1\0\1", ADDRESS)
    assert reply[:12] == b"ab\x85\x80\0\1\0\1\0\0\0\0"
    assert reply[12:-16] == NAME + b"\0\1\0\1"
    assert reply[-16:] == b"\xc0\x0c\0\1\0\1\0\0\0\x0a\0\4\xc0\xa8\4\1"
    with_edns = b"ab\1\0\0\1\0\0\0\0\0\1" + NAME + b"\0\1\0\1" + b"\0\0\x29\x04\xd0" * 2
    assert dns.answer(with_edns, ADDRESS) == reply


def test_after_a_datagram_without_a_byte_the_next_query_is_answered():
    reserved, where = bound()
    reserved.close()
    phone, _ = bound()
    dns.socket, kept = _sockets, dns.socket

    async def run():
        serving = asyncio.create_task(dns.serve(where[1], ADDRESS))
        try:
            return await _asked(phone, where)
        finally:
            serving.cancel()

    try:
        reply = asyncio.run(run())
    finally:
        dns.socket = kept
        phone.close()
    assert reply == dns.answer(HEAD + NAME + b"\0\1\0\1", ADDRESS)


async def _asked(phone, where):
    """The reply to a query, which is sent again and again, after an empty datagram."""
    to = _sockets.getaddrinfo(*where)[0][-1]
    await asyncio.sleep(0.05)
    for sent in [b""] + 50 * [HEAD + NAME + b"\0\1\0\1"]:
        phone.sendto(sent, to)
        await asyncio.sleep(0.1)
        try:
            return phone.recv(512)
        except OSError:
            continue
    return None


def test_another_type_has_no_record_and_that_is_no_error():
    for kind in (b"\0\x1c\0\1", b"\0\x41\0\1", b"\0\1\0\3"):
        reply = dns.answer(HEAD + NAME + kind, ADDRESS)
        assert reply == b"ab\x85\x80\0\1\0\0\0\0\0\0" + NAME + kind


def test_what_is_no_query_gets_no_reply():
    good = HEAD + NAME + b"\0\1\0\1"
    for length in range(len(good)):
        assert dns.answer(good[:length], ADDRESS) is None, length
    assert dns.answer(b"ab\x81\0" + good[4:], ADDRESS) is None  # a reply
    assert dns.answer(b"ab\x08\0" + good[4:], ADDRESS) is None  # another operation
    assert dns.answer(b"ab\1\0\0\2" + good[6:], ADDRESS) is None  # two questions
    assert dns.answer(HEAD + b"\xc0\x0c\0\1\0\1", ADDRESS) is None  # a pointer
    assert dns.answer(HEAD + b"\x3fa" * 200, ADDRESS) is None
    for length in range(300):
        reply = dns.answer(os.urandom(length), ADDRESS)
        assert reply is None or len(reply) <= length + 16
