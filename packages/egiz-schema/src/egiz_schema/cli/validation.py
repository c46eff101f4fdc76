"""The command `egiz-schema validate`: what is wrong with messages, one line each."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from egiz_schema.address import Topic, parse_topic
from egiz_schema.cli import traffic
from egiz_schema.cli.text import FAILED, printable
from egiz_schema.errors import TopicError
from egiz_schema.problems import Problem, Unknown, problems, unknown


class _Counts:
    def __init__(self) -> None:
        self.read = self.wrong = self.repaired = 0

    def add(self, found: list[Problem]) -> None:
        self.read += 1
        self.wrong += bool(found)
        self.repaired += bool(found) and all(problem.dropped for problem in found)

    def __str__(self) -> str:
        text = f"{self.read} read, {self.wrong} not of the contract"
        if self.repaired:
            text += f", {self.repaired} of them repaired by readers"
        return text


def validate(given: argparse.Namespace) -> int:
    """Print what is wrong with each message, live; return the exit code."""
    counts = _Counts()
    try:
        for place, topic, payload in _inputs(given):
            found, ignored = _checked(topic, payload)
            counts.add(found)
            for line in [*map(_problem, found), *map(_note, ignored)]:
                print(printable(f"{place}: {line}"), flush=True)  # live, also piped
    except KeyboardInterrupt:
        pass  # as one ends mosquitto_sub
    print(counts, file=sys.stderr)
    return FAILED if counts.wrong else 0


def _inputs(given: argparse.Namespace) -> Iterator[tuple[str, Topic | str, bytes]]:
    """(where it was found, topic, payload) of each message."""
    if given.payload is not None and given.topic is None:
        raise ValueError("--payload needs --topic: it says which message to expect")
    if given.topic is None:
        yield from _traffic(given.files)
        return
    topic = parse_topic(given.topic)
    if given.payload is not None:
        yield "payload", topic, os.fsencode(given.payload)
        return
    for name in given.files:
        with _opened(name) as file:
            yield name, topic, file.read(traffic.BYTES_MAX)


def _traffic(files: list[str]) -> Iterator[tuple[str, str, bytes]]:
    for name in files:
        is_first = True
        for number, topic, payload in traffic.messages(_lines(name)):
            if is_first and not topic:
                fix = "add --topic sensors/FACILITY/DEVICE_ID/KIND"
                raise ValueError(f"{name}: a payload without its topic; {fix}")
            is_first = False
            yield f"{name}:{number}", topic, payload


def _lines(name: str) -> Iterable[bytes]:
    with _opened(name) as file:
        while line := file.readline(traffic.BYTES_MAX):
            yield line
            while len(line) == traffic.BYTES_MAX and not line.endswith(b"\n"):
                line = file.readline(traffic.BYTES_MAX)  # the rest, of no use


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        if sys.stdin.isatty():
            print("Reading standard input; Ctrl-D ends it.", file=sys.stderr)
        yield sys.stdin.buffer
        return
    with naming(Path(name)), Path(name).open("rb") as file:
        yield file


def _checked(topic: Topic | str, payload: bytes) -> tuple[list[Problem], list[Unknown]]:
    try:
        topic = topic if isinstance(topic, Topic) else parse_topic(topic)
    except TopicError as error:
        return [Problem("", error.reason, str(error), None)], []
    return problems(topic, payload), unknown(topic, payload)


def _problem(problem: Problem) -> str:
    path, reason, sentence, dropped = problem
    if not path:  # of the topic
        return f"{reason}: {sentence}"
    if dropped is None:
        return f"{reason} at {path}: {sentence}"
    what = "it" if dropped == path else dropped
    return (
        f"repair at {path}: {reason}: {sentence}; readers drop {what} and keep the rest"
    )


def _note(unknown: Unknown) -> str:
    path, near = unknown
    hint = f"did you mean {near}?" if near else "newer than they are, or misspelled"
    return f"note at {path}: readers ignore it; {hint}"


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
