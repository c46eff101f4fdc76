"""HTTP for one page: whatever is sent, it costs little memory and little time."""

import asyncio
import time

LINE_MAX, HEADERS_MAX, BODY_MAX = 512, 24, 2048  # bytes, lines, bytes
HEAD_MAX = 8192  # bytes, of all lines
CONNECTIONS_MAX = 4
REQUEST_MS = 5000  # for a request to arrive
ANSWER_MS = 5000  # more, for its answer to be read

_READ = 256  # bytes at once
_KEPT = ("host", "origin", "accept-language", "content-length")
_ALWAYS = (
    "Connection: close\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
)


class Refused(Exception):
    """A request that is not answered; args[0] is the status."""


class Request:
    """A request.

    Attributes:
        method: as it was sent, as `path`.
        headers: those that the portal reads, by their names in small letters.
        body: bytes.
    """

    def __init__(self, method, path):
        self.method = method
        self.path = path
        self.headers = {}
        self.body = b""


class Server:
    """Passes each request on; one too many ends the oldest that is not complete.

    Without that rule, phones that only open connections would keep the page away.

    Args:
        answer: a coroutine function, called with a `Request` and a stream to write to.
    """

    def __init__(self, answer):
        self._answer = answer
        self._open = []  # connections: [task, ticks, whether the request is complete]

    def expire(self):
        """End what takes too long; to be called once a second."""
        now = time.ticks_ms()
        for task, since, is_complete in self._open:
            allowed_ms = REQUEST_MS + (ANSWER_MS if is_complete else 0)
            if time.ticks_diff(now, since) > allowed_ms:
                task.cancel()

    async def serve(self, reader, writer):
        """Answer the request of one connection, and close it."""
        one = [asyncio.current_task(), time.ticks_ms(), False]
        if len(self._open) >= CONNECTIONS_MAX:
            incomplete = [other for other in self._open if not other[2]]
            oldest = (incomplete or self._open)[0]
            self._open.remove(oldest)
            oldest[0].cancel()
        self._open.append(one)
        try:
            request = await read_request(reader)
            one[2] = True
            await self._answer(request, writer)
        except Refused as refusal:
            await send(writer, refusal.args[0])
        except (OSError, EOFError):
            pass  # the phone is gone
        except Exception as error:  # the next request may have more luck
            print("portal: a request is not answered: %r" % error)
        finally:
            if one in self._open:
                self._open.remove(one)
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass


async def read_request(reader):
    """The request that a stream brings; raises `Refused`, EOFError."""
    source = _Source(reader)
    words = (await source.line()).split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused("400 Bad Request")
    request = Request(words[0], words[1])
    for _ in range(HEADERS_MAX + 1):
        line = await source.line(is_header=True)
        if not line:
            break
        name, _, value = line.partition(":")
        if name.lower() in _KEPT:
            request.headers[name.lower()] = value.strip()
    else:
        raise Refused("431 Request Header Fields Too Large")
    if request.method == "POST":
        request.body = await source.exactly(_length(request.headers))
    elif request.method != "GET":
        raise Refused("405 Method Not Allowed")
    return request


async def send(writer, status, headers="", body=b""):
    """Write a whole answer."""
    length = "Content-Length: %d\r\n" % len(body)
    writer.write(head(status, headers + length) + body)
    await writer.drain()


def head(status, headers):
    """The head of an answer, as bytes; `headers` are lines, each with its end."""
    return ("HTTP/1.1 " + status + "\r\n" + _ALWAYS + headers + "\r\n").encode()


def _length(headers):
    text = headers.get("content-length")
    if text is None:
        raise Refused("411 Length Required")
    if not text or [digit for digit in text if not "0" <= digit <= "9"]:
        raise Refused("400 Bad Request")
    if len(text) > 4 or int(text) > BODY_MAX:
        raise Refused("413 Content Too Large")
    return int(text)


class _Source:
    """What arrives, never more than a line or a body of it in memory."""

    def __init__(self, reader):
        self._reader = reader
        self._data = b""
        self._count = 0  # bytes that have come

    async def line(self, is_header=False):
        """The next line; of a header that is too long its name only.

        A phone sends the cookies of every device that it has met at this address. A
        header that is no UTF-8 is "?": a phone sends none of those that are read so.
        """
        name = None
        while True:
            end = self._data.find(b"\n")
            if end >= 0:
                line, self._data = self._data[:end], self._data[end + 1 :]
                try:
                    return (name or line).decode().rstrip("\r")
                except ValueError:
                    if is_header:
                        return "?"
                    raise Refused("400 Bad Request")
            is_long = len(self._data) > LINE_MAX
            if self._count > HEAD_MAX or (is_long and not is_header):
                raise Refused("431 Request Header Fields Too Large")
            if is_long:
                name = name or self._data.partition(b":")[0] + b":"
                self._data = b""
            await self._fill()

    async def exactly(self, length):
        while len(self._data) < length:
            await self._fill()
        return self._data[:length]

    async def _fill(self):
        more = await self._reader.read(_READ)
        if not more:
            raise EOFError
        self._count += len(more)
        self._data += more
