"""Messages as `mosquitto_sub` prints them, whatever its format and their payloads.

What it prints has no frame: a payload may have several lines, or be no text at all. So
a line that has a topic is the first of a message. JSON has no slash outside of its
strings, and a topic of the contract has three.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from egiz_schema.address import parse_topic
from egiz_schema.errors import TopicError
from egiz_schema.topics import ROOT

# More than any topic and payload have: whatever is longer is too large as well, and a
# file without an end needs no more memory.
BYTES_MAX = 1 << 17

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?')
_BEFORE_TEXT = re.compile(rb'[^"{]*')
# Of the words of a line: -F may print the time, and others, before the topic.
_TOPIC = re.compile(rb"(?<!\S)" + ROOT.encode() + rb"/\S*")
_WORD = re.compile(rb"\S*")
_NO_BYTES = b"(null)"  # so mosquitto_sub -v prints a payload that has none


class Received(NamedTuple):
    """A message, and the number of its first line; the topic may be any text."""

    line: int
    topic: str
    payload: bytes


def messages(lines: Iterable[bytes]) -> Iterator[Received]:
    """Each message as soon as it is whole: live traffic may pause behind it."""
    message = _Lines(0)
    for number, line in enumerate(lines, 1):
        if message.lines and not message.goes_on_with(line):
            yield message.received()
            message.lines.clear()
        if not message.lines:
            if not line.strip():
                continue  # after a payload that ends with line feeds
            message = _Lines(number)
        message.add(line)
        if message.is_whole():
            yield message.received()
            message.lines.clear()
    if message.lines:
        yield message.received()


class _Lines:
    """The lines of a message that may not be whole yet."""

    def __init__(self, number: int) -> None:
        self.lines: list[bytes] = []
        self._number = number
        self._size = 0
        self._depth = 0  # of objects and lists that are open
        self._is_bare = True  # a topic without a payload so far

    def add(self, line: bytes) -> None:
        if self._size < BYTES_MAX:
            self.lines.append(line)
            self._size += len(line)
        self._depth += _levels(line)
        if self._is_bare:
            payload = line if len(self.lines) > 1 else _split(line)[1]
            self._is_bare = not payload.strip()

    def is_whole(self) -> bool:
        return self._depth <= 0 and not self._is_bare

    def goes_on_with(self, line: bytes) -> bool:
        if line[:1].isspace():
            return self._depth > 0 or not line.strip() or _is_json(line)
        if _topic(line):
            return False
        return self._depth > 0 or _is_json(line)

    def received(self) -> Received:
        first, *others = self.lines
        topic, payload = _split(first)
        payload = b"".join([payload, *others]).rstrip(b"\r\n")
        if not topic:
            topic, payload = _of_json(payload)
        text = topic.decode(errors="replace")
        return Received(self._number, text, b"" if payload == _NO_BYTES else payload)


def _levels(line: bytes) -> int:
    bare = _STRING.sub(b"", line)
    opened = bare.count(b"{") + bare.count(b"[")
    return opened - bare.count(b"}") - bare.count(b"]")


def _is_json(line: bytes) -> bool:
    return line.lstrip()[:1] in {b"{", b"["}


def _topic(line: bytes) -> tuple[int, int] | None:
    """Where the topic begins and ends: a word of our root, or else one with a slash."""
    end = _BEFORE_TEXT.match(line).end()  # type: ignore[union-attr]  # it always does
    if ours := _TOPIC.search(line, 0, end):
        return ours.span()
    slash = line.find(b"/", 0, end)
    if slash < 0:
        return None
    # A pattern for the whole word would try it from each of its bytes.
    start = slash - len(_last_word(line[:slash]))
    return start, _WORD.match(line, slash, end).end()  # type: ignore[union-attr]  # as above


def _last_word(text: bytes) -> bytes:
    """What follows the last space; nothing, if that is at the end."""
    return b"" if text[-1:].isspace() else (text.split() or [b""])[-1]


def _split(line: bytes) -> tuple[bytes, bytes]:
    """Topic and payload of a line; no topic if it is JSON alone."""
    found = _topic(line)
    if found is None:
        if _is_json(line):
            return b"", line
        topic, _, payload = line.rstrip(b"\r\n").partition(b" ")
        return topic, payload
    start, end = found
    brace = line.find(b"{", end)
    if brace > 0 and not _is_ours(line[start:end]):  # the topic may have spaces
        return line[start:brace].strip(), line[brace:]
    return line[start:end], line[end:].lstrip(b" \t")


def _is_ours(topic: bytes) -> bool:
    try:
        parse_topic(topic.decode(errors="replace"))
    except TopicError:
        return False
    return True


def _of_json(line: bytes) -> tuple[bytes, bytes]:
    """What `mosquitto_sub -F %j` prints, or `%J`: an object with topic and payload."""
    try:
        found = json.loads(line)
        topic, payload = found["topic"], found["payload"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return b"", line
    if not isinstance(topic, str):
        return b"", line
    if payload is None:
        payload = ""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return topic.encode(errors="replace"), text.encode(errors="surrogatepass")
