"""The command `egiz-schema validate`: what is wrong with messages, one line each."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from egiz_schema.address import Topic, parse_topic
from egiz_schema.cli_text import FAILED
from egiz_schema.codec import decode, unknown_fields
from egiz_schema.errors import DecodeError, TopicError

# More than any topic and payload have: whatever is longer is too large as well, and a
# file without an end needs no more memory.
_BYTES_MAX = 1 << 17
_CONTINUES = (b" ", b"\t", b"}", b"]")  # no topic of ours begins so


def validate(given: argparse.Namespace) -> int:
    """Print what is wrong with each message, live; return the exit code."""
    messages = wrong = 0
    try:
        for place, topic, payload in _inputs(given):
            messages += 1
            found = list(_problems(topic, payload))
            wrong += bool(found)
            for problem in found or _notes(topic, payload):
                print(f"{place}: {problem}", flush=True)  # live, also into a pipe
    except KeyboardInterrupt:
        pass  # as one ends mosquitto_sub
    print(f"{messages} read, {wrong} not of the contract", file=sys.stderr)
    return FAILED if wrong else 0


def _inputs(given: argparse.Namespace) -> Iterator[tuple[str, str, bytes]]:
    """(where it was found, topic, payload) of each message."""
    if given.payload is not None and given.topic is None:
        raise ValueError("--payload needs --topic: it says which message to expect")
    if given.topic is None:
        yield from _topics_and_payloads(given.files)
        return
    topic = str(parse_topic(given.topic))
    if given.payload is not None:
        yield "payload", topic, os.fsencode(given.payload)
        return
    for name in given.files:
        with _opened(name) as file:
            yield name, topic, file.read(_BYTES_MAX)


def _topics_and_payloads(files: list[str]) -> Iterator[tuple[str, str, bytes]]:
    for name in files:
        for number, message in _messages(name):
            if number == 1 and message.lstrip().startswith(b"{"):
                fix = "add --topic sensors/FACILITY/DEVICE_ID/KIND"
                raise ValueError(f"{name}: a payload without its topic; {fix}")
            topic_bytes, _, payload = message.rstrip(b"\r\n").partition(b" ")
            yield f"{name}:{number}", topic_bytes.decode(errors="replace"), payload


def _messages(name: str) -> Iterator[tuple[int, bytes]]:
    """(number of its first line, message); a pretty-printed one has several lines."""
    start, depth, size = 0, 0, 0
    message: list[bytes] = []  # its lines
    for number, line in enumerate(_lines(name), 1):
        if message and line[:1] not in _CONTINUES:
            yield start, b"".join(message)
            message.clear()
        if not message:
            start, depth, size = number, 0, 0
        if size < _BYTES_MAX:
            message.append(line)
            size += len(line)
        depth += line.count(b"{") - line.count(b"}")
        if depth <= 0:  # at once, if it is whole: live traffic may pause here
            yield start, b"".join(message)
            message.clear()
    if message:
        yield start, b"".join(message)


def _lines(name: str) -> Iterable[bytes]:
    with _opened(name) as file:
        while line := file.readline(_BYTES_MAX):
            yield line
            while len(line) == _BYTES_MAX and not line.endswith(b"\n"):
                line = file.readline(_BYTES_MAX)  # the rest, of no use


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        if sys.stdin.isatty():
            print("Reading standard input; Ctrl-D ends it.", file=sys.stderr)
        yield sys.stdin.buffer
        return
    with naming(Path(name)), Path(name).open("rb") as file:
        yield file


def _problems(topic: str, payload: bytes) -> Iterator[str]:
    try:
        parsed = parse_topic(topic)
    except TopicError as error:
        yield f"{error.reason}: {error}"
        return
    for problem in _decode_errors(parsed, payload):
        yield f"{problem.reason} at {problem.path}: {problem}"


def _notes(topic: str, payload: bytes) -> Iterator[str]:
    for path in unknown_fields(topic, payload):
        yield f"note at {path}: readers ignore it; newer than they are, or misspelled"


def _decode_errors(topic: Topic, payload: bytes) -> list[DecodeError]:
    try:
        from egiz_schema.models import problems  # noqa: PLC0415  # an extra
    except ImportError:
        pass
    else:
        return problems(topic, payload)
    try:
        decode(topic, payload)
    except DecodeError as error:
        return [error]
    return []


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of reading names the file, as one of opening does."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except ValueError as error:
        named = "" if str(path) in str(error) else f"{path}: "
        raise ValueError(f"{named}{error}") from None
