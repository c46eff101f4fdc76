"""Addresses of names: answers that are believed, and those that are not."""

import asyncio
import json
import sys

import _sockets
from _board import Log, Store
from _name_server import AAAA, CNAME, POINTER, A, NameServer, record, reply
from egiz_edge import dns
from egiz_edge.names import Names

HOST = "broker.lan"
ADDRESS = b"\xc0\xa8\x01\x07"
FOUND = "192.168.1.7"


class Wifi:
    def __init__(self, servers):
        self._servers = servers

    def name_servers(self):
        return self._servers


def _with(*servers, host=HOST, store=None, waits_s=(0.2, 0.2)):
    """The address or the error that a look-up ends with, and what was logged."""
    log = Log()
    names = Names(Wifi([one.address for one in servers]), store or Store(), log)

    async def run():
        serving = [asyncio.create_task(server.serve()) for server in servers]
        try:
            return await names.address(host)
        except OSError as error:
            return error
        finally:
            for one in serving:
                one.cancel()

    kept, dns.WAITS_S = dns.WAITS_S, waits_s
    sys.modules["egiz_edge.dns"] = dns  # else the look-up loads another
    try:
        result = asyncio.run(run())
    finally:
        dns.WAITS_S = kept
        for server in servers:
            server.socket.close()
    return (result if isinstance(result, str) else str(result)), log.lines


def _known():
    return NameServer(lambda query: [reply(query, record(A, ADDRESS))])


def _answered(answers, **options):
    return _with(NameServer(answers), **options)[0]


def test_a_query_asks_for_an_ipv4_address_and_the_first_one_is_used():
    server = NameServer(
        lambda query: [reply(query, record(A, ADDRESS), record(A, b"\1\2\3\4"))]
    )
    assert _with(server)[0] == FOUND
    (query,) = server.queries
    # RFC 1035, 4.1: one question, recursion desired, type A, class IN.
    assert query[2:12] == b"\1\0\0\1\0\0\0\0\0\0"
    assert query[12:] == b"\6broker\3lan\0\0\1\0\1"


def test_a_name_may_be_written_with_the_root():
    assert _with(_known(), host="broker.lan.")[0] == FOUND


def test_an_address_is_no_name_and_needs_no_server():
    assert _with(host="10.0.0.7")[0] == "10.0.0.7"


def test_what_only_looks_like_an_address_is_a_name():
    for host in ("999.1.1.1", "1.2.3.256", "1.2.3.0004", "1.2.3", "1.2.3.4.5"):
        assert _with(host=host)[0] == host + ": the network gave no name server"


def test_without_a_name_server_the_reason_says_so():
    assert _with()[0] == "broker.lan: the network gave no name server"


def test_what_is_no_name_is_not_asked_for():
    for host in ("", "a..b", "x" * 64 + ".lan", "x." * 130):
        assert _with(host=host)[0].endswith(": not a host name")


def test_an_alias_is_followed_to_its_address_with_a_lifetime_of_zero():
    chain = [record(CNAME, b"\1%c" % (97 + n) + POINTER, ttl=0) for n in range(12)]
    assert _answered(lambda q: [reply(q, *chain, record(A, ADDRESS, ttl=0))]) == FOUND


def test_letters_large_or_small_make_no_other_name():
    # A telephone begins what is entered with a large letter; some servers repeat the
    # question in small letters, others as it was asked for before.
    for host in ("Broker.LAN", HOST):
        for asked in (b"\6broker\3lan", b"\6BROKER\3lan", b"\6Broker\3LAN"):
            server = NameServer(
                lambda q, asked=asked: [
                    reply(q.replace(b"\6broker\3lan", asked), record(A, ADDRESS))
                ]
            )
            assert _with(server, host=host)[0] == FOUND, (host, asked)
            assert b"\6broker\3lan" in server.queries[0]


def test_replies_to_another_query_are_ignored_and_the_right_one_is_waited_for():
    def answers(query):
        right = reply(query, record(A, ADDRESS))
        wrong = reply(query, record(A, b"\6\6\6\6"))
        return [
            b"",
            wrong[:11],
            bytes([wrong[0] ^ 1]) + wrong[1:],  # another id
            wrong[:2] + b"\1" + wrong[3:],  # a query
            wrong[:5] + b"\0" + wrong[6:],  # without the question
            wrong.replace(b"\6broker", b"\6broken"),
            right,
        ]

    assert _answered(answers) == FOUND


def test_after_a_reply_without_a_byte_the_next_query_finds_the_address():
    server = NameServer(
        lambda query: (
            ([] if server.queries[1:] else [b""]) + [reply(query, record(A, ADDRESS))]
        )
    )
    dns.socket, kept = _sockets, dns.socket
    try:
        assert _with(server)[0] == FOUND
    finally:
        dns.socket = kept
    assert len(server.queries) == 2


def test_a_reply_from_another_address_is_not_believed():
    forging, other = [], NameServer(None)
    server = NameServer(lambda _: [])

    def answers(query):
        forging.append(asyncio.create_task(forge(query)))
        return []

    async def forge(query):
        await asyncio.sleep(0.01)
        other.socket.sendto(reply(query, record(A, b"\6\6\6\6")), server.client)

    server._answers = answers
    result = _with(server)[0]
    other.socket.close()
    assert result == "broker.lan: no answer of a name server"


def _from_the_host_itself(host, found):
    """What a look-up ends with where a host sends `found(query)` to the group."""
    group = NameServer(lambda _: [])
    answering, host_itself = [], NameServer(None)

    async def answer():
        while not group.queries:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        host_itself.socket.sendto(found(group.queries[0]), group.client)

    def answers(_):
        answering.append(asyncio.create_task(answer()))
        return []

    group._answers = answers
    kept, dns.MULTICAST = dns.MULTICAST, (group.address,)
    try:
        return _with(group, host=host)[0]
    finally:
        dns.MULTICAST = kept
        host_itself.socket.close()


def test_a_name_in_local_is_answered_by_the_host_itself_however_it_is_written():
    for host in ("broker.local", "Broker.Local", "broker.local."):
        found = _from_the_host_itself(host, lambda q: reply(q, record(A, ADDRESS)))
        assert found == FOUND, host


def test_an_answer_in_local_that_replaces_older_ones_is_used():
    def found(query):
        replacing = record(A, ADDRESS)
        return reply(query, replacing.replace(b"\0\1\0\1", b"\0\1\x80\1"))

    assert _from_the_host_itself("broker.local", found) == FOUND


def test_a_damaged_reply_ends_and_gives_no_address():
    def cut(query):
        return [reply(query, record(A, ADDRESS))[:-2]]

    def counted(query):
        return [reply(query, count=65535)]

    def to_itself(query):  # a name that points to itself
        at = 0xC000 | len(query)
        return [reply(query, record(CNAME, ADDRESS, at.to_bytes(2, "big")))]

    def label(query):  # a name that goes beyond the end
        return [reply(query, b"\x3f" + record(A, ADDRESS))]

    def kind(query):  # a kind of label that does not exist
        return [reply(query, b"\x80" + record(A, ADDRESS))]

    def long(query):  # a record with too much in it
        return [reply(query, record(A, ADDRESS + b"\0"))]

    for answers in (cut, counted, to_itself, label, kind, long):
        assert _answered(answers) == "broker.lan: has no IPv4 address", answers


def test_a_truncated_reply_with_the_address_in_it_is_used():
    assert _answered(lambda q: [reply(q, record(A, ADDRESS), flags=0x83)]) == FOUND


def test_a_name_with_an_ipv6_address_only_is_said_to_have_no_other():
    result = _answered(lambda q: [reply(q, record(AAAA, bytes(16)))])
    assert result == "broker.lan: has no IPv4 address"


def test_the_address_of_a_blocked_name_is_none():
    result = _answered(lambda q: [reply(q, record(A, bytes(4)))])
    assert result == "broker.lan: has no IPv4 address"


def test_an_unknown_name_is_not_asked_for_again():
    server = NameServer(lambda query: [reply(query, code=3)])
    assert _with(server)[0] == "broker.lan: unknown to the name server"
    assert len(server.queries) == 1


def test_a_lost_query_is_sent_again():
    server = NameServer(
        lambda query: [reply(query, record(A, ADDRESS))] if server.queries[1:] else []
    )
    assert _with(server)[0] == FOUND
    first, second = server.queries
    assert first[2:] == second[2:]


def test_a_server_that_fails_is_left_for_the_next():
    silent = NameServer(lambda _: [])
    failing = NameServer(lambda query: [reply(query, code=2)])
    third = NameServer(lambda query: [reply(query, record(A, ADDRESS))])
    assert _with(silent, failing, third)[0] == FOUND
    assert len(failing.queries) == 1


def test_other_tasks_run_while_no_server_answers():
    turns = []

    async def turn():
        while True:
            turns.append(1)
            await asyncio.sleep(0.01)

    class Server(NameServer):
        async def serve(self):
            await asyncio.gather(NameServer.serve(self), turn())

    result = _with(Server(lambda _: []))[0]
    assert result == "broker.lan: no answer of a name server"
    assert len(turns) > 10


def test_the_last_good_address_is_used_where_no_server_answers():
    store = Store()
    Names(Wifi([]), store, None).keep(HOST, FOUND)
    result, log = _with(NameServer(lambda _: []), store=store)
    assert result == FOUND
    assert log == [
        "broker.lan: no answer of a name server; trying its last good address, " + FOUND
    ]


def test_few_addresses_are_kept_and_one_that_is_kept_costs_no_flash():
    store = Store()
    names = Names(Wifi([]), store, None)
    names.keep("10.0.0.1", "10.0.0.1")  # no name
    assert store.texts == {}
    for number in range(9):
        names.keep("host-" + str(number), "10.0.0." + str(number))
    before = store.texts["addresses"]
    names.keep("host-7", "10.0.0.7")
    assert store.texts["addresses"] == before
    assert [host for host, _ in json.loads(before)] == ["host-6", "host-7", "host-8"]


def test_damaged_addresses_in_flash_are_none():
    damaged = ["", "{", "7", "[7]", "[[1]]", '[["broker.lan"]]', "null"]
    for wrong in (5, None, {}, "other.lan", "999.1.1.1", ""):
        damaged += [json.dumps([[HOST, wrong]])]
    for text in damaged:
        store = Store()
        store.texts["addresses"] = text
        result, _ = _with(store=store)
        assert result == "broker.lan: the network gave no name server"
        Names(Wifi([]), store, None).keep(HOST, FOUND)
        assert json.loads(store.texts["addresses"]) == [[HOST, FOUND]]
