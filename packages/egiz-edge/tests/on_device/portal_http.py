"""What the portal reads of a request, whatever bytes are in it."""

import asyncio

from egiz_edge.portal.http import Refused, read_request

HOST = b"Host: 192.168.4.1\r\n"
ODD = (b"\xfc", b"\xff\xfe", b"\xc3", bytes(range(128, 256)))  # no UTF-8


class Reader:
    def __init__(self, data):
        self._data = data

    async def read(self, count):
        found, self._data = self._data[:count], self._data[count:]
        return found


def _read(data):
    return asyncio.run(read_request(Reader(data)))


def _refusal(data):
    try:
        _read(data)
    except Refused as refusal:
        return refusal.args[0]
    raise AssertionError(data)


def test_a_header_may_have_any_bytes_and_is_not_read_then():
    for odd in ODD:
        for line in (
            b"Cookie: n=" + odd,
            b"User-Agent: " + odd,
            b"Accept-Language: " + odd,
            b"X" + odd + b": y",
            odd,
        ):
            request = _read(b"GET / HTTP/1.1\r\n" + line + b"\r\n" + HOST + b"\r\n")
            assert (request.method, request.path) == ("GET", "/")
            assert request.headers == {"host": "192.168.4.1"}, line


def test_a_request_without_a_path_or_a_length_of_utf_8_is_refused():
    for odd in ODD:
        path = b"GET /" + odd + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        assert _refusal(path) == "400 Bad Request"
        length = b"POST /save HTTP/1.1\r\nContent-Length: 4" + odd + b"\r\n\r\na=12"
        assert _refusal(length) == "411 Length Required"


def test_names_of_headers_and_spaces_around_values_are_as_phones_send_them():
    for host in (HOST, b"HOST:192.168.4.1\n", b"host: \t192.168.4.1 \r\n"):
        length = b"content-length:4 \r\n"
        language = "Accept-Language: dé\r\n".encode()
        head = b"POST /save HTTP/1.1\r\n" + host + language + length
        request = _read(head + b"\r\na=\xff\n")
        assert request.body == b"a=\xff\n"  # what it is, the form decides
        assert request.headers == {
            "host": "192.168.4.1",
            "accept-language": "dé",
            "content-length": "4",
        }
