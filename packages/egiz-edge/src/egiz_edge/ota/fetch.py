"""One GET of a file, from a byte on; what a server gets wrong ends it with a reason.

HTTP/1.0, so that a server has no cause to send chunks. Redirects are not followed: a
release is where the order says. A server that does not know Range sends all of it, and
what is there already is read and left. One buffer, whatever the server sends.
"""

import asyncio
import time

BUFFER = 512  # bytes; a line of the head is no longer
HEAD_LINES_MAX = 24
STALL_MS = 15000  # without a byte
TOTAL_MS = 300000
_SCHEMES = (("http://", 80), ("https://", 443))


class FetchError(OSError):
    """The message is the reason, for a person; another try may have more luck."""


class BrokenError(FetchError):
    """It broke off when a part had come: another try may bring the rest."""


class AnswerError(FetchError):
    """A server answered, and wrongly: what it has is not what was ordered."""


class Download:
    """The rest of a file that a server has.

    Attributes:
        at: the byte of the file that `read` gives next.
        size: bytes of the whole file; None where the server does not say.

    Args:
        address_of: a coroutine function: IPv4 address of a host name.
        context: a function that gives one for https, as `tls.context` makes it; None
            where there is none.
    """

    def __init__(self, address_of, context=None):
        self._address_of = address_of
        self._context = context
        self._reader = self._writer = None
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._from = self._to = 0  # what of the buffer is not read yet
        self._until = time.ticks_add(time.ticks_ms(), TOTAL_MS)
        self.at, self.size = 0, None
        self._begin = 0  # what was asked for

    async def open(self, url, begin=0):
        """Ask for a file from the byte `begin` on; then `read` gives that one.

        Raises:
            FetchError: with the reason.
        """
        self._begin = begin
        is_tls, host, port, path = parse(url)
        if is_tls and self._context is None:
            raise AnswerError("https without a certificate authority")
        asked = "Range: bytes=%d-\r\n" % begin if begin else ""
        text = "GET %s HTTP/1.0\r\nHost: %s:%d\r\n%s\r\n" % (path, host, port, asked)
        try:
            await self._connect(host, port, is_tls)
            self._writer.write(text.encode())  # raises what connecting came to
            await self._in_time(self._writer.drain())
        except FetchError:
            raise
        except OSError as error:
            raise FetchError("no server (%s)" % str(error).strip())
        except ValueError as error:  # Mbed TLS's, of a certificate: no wait cures it
            raise AnswerError("no server (%s)" % str(error).strip())
        await self._read_head(begin)
        while self.at < begin:  # a server without Range
            if not await self.read(begin - self.at):
                raise AnswerError("the file is shorter than before")

    async def read(self, most):
        """The next bytes, `most` or fewer; none at the end.

        They are a view of the one buffer: the next call overwrites them.

        Raises:
            FetchError: with the reason.
        """
        if self.size is not None:
            most = min(most, self.size - self.at)
        if most and self._from == self._to:
            await self._fill(0)
            if not self._to and self.size is not None:
                raise self._broken("at %d of %d" % (self.at, self.size))
        begin = self._from
        self._from = min(begin + most, self._to)
        self.at += self._from - begin
        return self._view[begin : self._from]

    async def close(self):
        """Close the connection; harmless where there is none."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            try:
                await self._in_time(writer.wait_closed())
            except OSError:
                pass

    async def _connect(self, host, port, is_tls):
        address = await self._in_time(self._address_of(host))
        # Only now: the look-up needs memory as well.
        context = self._context() if is_tls else None
        name = context and host.rstrip(".")  # as in mqtt_connect
        opening = asyncio.open_connection(
            address, port, ssl=context, server_hostname=name
        )
        self._reader, self._writer = await self._in_time(opening)

    async def _read_head(self, begin):
        status, part = _status(await self._line()), None
        for _ in range(HEAD_LINES_MAX):
            line = await self._line()
            if not line:
                break
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            if name == "content-length":
                self.size = _number(value)
            elif name == "content-range":
                part = value
            elif name == "transfer-encoding" and value.lower() != "identity":
                raise AnswerError("sent in chunks")
        else:
            raise AnswerError("more than %d lines of head" % HEAD_LINES_MAX)
        if status == 206:
            self._begin_at(begin, part)
        elif status != 200:
            raise AnswerError("status %d" % status)

    def _begin_at(self, begin, part):
        """The server sends a part: it must be the one that was asked for."""
        if not part or not part.startswith("bytes %d-" % begin):
            raise AnswerError("another part than was asked for")
        if self.size is not None:
            self.size += begin
        self.at = begin

    async def _line(self):
        """The next line of the head, without its end."""
        while True:
            end = self._buffer.find(b"\n", self._from, self._to)
            if end >= 0:
                line = bytes(self._view[self._from : end])
                self._from = end + 1
                try:
                    return line.decode().rstrip("\r")
                except ValueError:
                    raise AnswerError("no HTTP")
            kept = self._to - self._from
            if kept == BUFFER:
                raise AnswerError("a line of head over %d bytes" % BUFFER)
            self._view[:kept] = bytes(self._view[self._from : self._to])
            await self._fill(kept)
            if self._to == kept:
                raise FetchError("broke off in its head")

    async def _fill(self, kept):
        """Receive into the buffer, behind the bytes that are kept."""
        self._from, count = 0, None
        while count is None:  # TLS may have read, and have nothing yet
            try:
                count = await self._in_time(self._reader.readinto(self._view[kept:]))
            except FetchError:
                raise
            except (OSError, ValueError) as error:
                raise self._broken("(%s)" % str(error).strip())
        self._to = kept + count

    def _broken(self, how):
        kind = BrokenError if self.at > self._begin else FetchError
        return kind("broke off " + how)

    async def _in_time(self, coroutine):
        left = time.ticks_diff(self._until, time.ticks_ms())
        try:
            return await asyncio.wait_for(coroutine, max(0, min(left, STALL_MS)) / 1000)
        except asyncio.TimeoutError:
            raise FetchError("too slow" if left < STALL_MS else "no answer in time")


def parse(url):
    """(whether it is https, host, port, path) of a URL.

    Raises:
        FetchError: if it is none of ours.
    """
    for scheme, default in _SCHEMES:
        if url.startswith(scheme):
            authority, _, path = url[len(scheme) :].partition("/")
            host, colon, port = authority.partition(":")
            port = _number(port) if colon else default
            is_clean = all("!" <= char <= "~" for char in host + path)
            if host and "@" not in host and 0 < (port or 0) < 65536 and is_clean:
                return default == 443, host, port, "/" + path
    raise AnswerError("no URL of http or https")


def _status(line):
    version, _, rest = line.partition(" ")
    status = _number(rest[:3])
    if not version.startswith("HTTP/1.") or status is None or len(rest[:3]) != 3:
        raise AnswerError("no HTTP")
    return status


def _number(text):
    """A whole number of nine digits at most, or None."""
    if 0 < len(text) < 10 and all("0" <= char <= "9" for char in text):
        return int(text)
    return None
