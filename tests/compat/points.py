"""What a peer has written, read back by a parser that is not ours."""

import re
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from line_protocol_parser import (  # type: ignore[import-untyped]  # it has none
    LineFormatError,
    parse_line,
)
from rig.scripted_http import Request

_NS = {"ms": 1_000_000, "ns": 1}
_FACILITY = re.compile(rb",facility=([^, ]+)")
# A message without a time, or with one far ahead, has that of its receipt.
_A_WHILE_MS = 300_000
RECEIPT = "receipt"


class Point(NamedTuple):
    """`time` is milliseconds since 1970, or RECEIPT."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time: float | str


def points_of(requests: Iterable[Request]) -> dict[str, list[Point]]:
    """Points by facility."""
    found: dict[str, list[Point]] = {}
    for request in requests:
        (precision,) = parse_qs(urlsplit(request.path).query).get("precision", ["ns"])
        for line in request.lines:
            if match := _FACILITY.search(line):  # else the rest after a newline
                point = _point(line, _NS[precision])
                found.setdefault(match[1].decode(), []).append(point)
    return found


def _point(line: bytes, unit_ns: int) -> Point:
    try:
        parsed = parse_line(line.decode())
    except LineFormatError:
        return Point("no line protocol", {}, {}, 0.0)
    time_ms = parsed["time"] * unit_ns / 1e6
    is_of_now = abs(time.time() * 1000 - time_ms) < _A_WHILE_MS
    measurement, tags, fields = parsed["measurement"], parsed["tags"], parsed["fields"]
    return Point(measurement, tags, fields, RECEIPT if is_of_now else time_ms)


def differences(ours: list[Point], theirs: list[Point]) -> list[str]:
    """What differs in theirs, one phrase each; none if they are the same."""
    if len(ours) != len(theirs):
        return [f"{len(theirs)} points instead of {len(ours)}"]
    found = []
    for our, their in zip(ours, theirs, strict=True):
        found += _compared("measurement", our.measurement, their.measurement)
        found += _compared("time", our.time, their.time)
        for part in ("tags", "fields"):
            one, other = getattr(our, part), getattr(their, part)
            for name in sorted(one.keys() | other.keys()):
                found += _compared(name, one.get(name), other.get(name))
    return found


def _compared(name: str, ours: object, theirs: object) -> list[str]:
    """1 is not 1.0 here: a field of another type is refused by a database."""
    one, other = (
        "absent" if value is None else f"{type(value).__name__} {value!r}"
        for value in (ours, theirs)
    )
    return [] if one == other else [f"{name}: {other} instead of {one}"]
