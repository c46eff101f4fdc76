"""Pairs of payloads that differ little, and whether one changes the line of the other.

The second of a pair is the first with names, truth values, nulls, numbers, texts or the
order changed. What `decode_line` makes of a payload must not depend on what came first.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from egiz_schema import (
    DecodeError,
    EncodeError,
    Topic,
    decode,
    influx,
    line_protocol,
    wire,
)
from line_protocol_parser import parse_line  # type: ignore[import-untyped]  # it has none

Outcome = Any

_RECEIVED_MS = 1706352600777
_VARYING = "0123456789+-."
_NUMBERS = [*["0", "7", "185", "-18.5", "0.5", "1e-7", "1e9", "1706352600"]]
# Of which a reader makes an integer, a probe that is off, and nothing.
_NUMBERS += ["86400.0", "2e3", "-127", "-127.0", "1e999"]
# Some parsers accept them in a member that they skip.
_NUMBERS += [*["1-2", "01", "--", "5.", ".5", "1e", "1.2.3", "+1"]]
_TEXTS = ["running", "run1", "a,b", "null", "nu1ll", "true", "x=1 ", "", "zone_1:crc"]
_NAMES = ["zz", "a", "electrical", "buffered", "ms", "v", "seq", "thermal", "setpoint"]


class Number(str):
    """A number as it is written, right or wrong."""

    __slots__ = ()


Members = list[tuple[str, Any]]  # of an object: names may come twice


def pairs(count: int, seed: int) -> Iterator[tuple[Topic, bytes, bytes]]:
    """`count` pairs, the same for a seed."""
    rng = random.Random(seed)
    for _ in range(count):
        kind, make = rng.choice((("telemetry", _telemetry), ("status", _status)))
        first = make(rng)
        second = first
        for _ in range(rng.randint(1, 3)):
            second = _changed(second, rng)
        if rng.random() < 0.2:
            first = _changed(first, rng)
        topic = Topic("factory", "oven-001", kind)  # type: ignore[arg-type]  # of two
        yield topic, _written(first).encode(), _written(second).encode()


def disagreements(count: int, seed: int) -> Iterator[tuple[bytes, bytes, str]]:
    """The pairs in which a payload gives another line, or verdict, than alone."""
    for topic, first, second in pairs(count, seed):
        alone = {payload: _exact(topic, payload) for payload in (first, second)}
        for order in ((first, second), (second, first)):
            for name, prepare in _PREPARATIONS.items():
                _forget()
                prepare(topic, order[0])
                for payload in (order[1], order[0], order[1]):
                    found = _outcome(topic, payload, _quick)
                    if found != alone[payload]:
                        yield *order, f"{name}: {found}, not {alone[payload]}"


def _exact(topic: Topic, payload: bytes) -> Outcome:
    _forget()
    return _outcome(topic, payload, _slow)


def _slow(topic: Topic, payload: bytes) -> tuple[Any, bytes]:
    message = decode(topic, payload)
    return message, influx.to_line(influx.to_point(topic, message, _RECEIVED_MS))


def _quick(topic: Topic, payload: bytes) -> tuple[Any, bytes]:
    return line_protocol.decode_line(topic, payload, _RECEIVED_MS)


def _outcome(
    topic: Topic, payload: bytes, run: Callable[[Topic, bytes], tuple[Any, bytes]]
) -> Outcome:
    try:
        message, line = run(topic, payload)
    except DecodeError as error:
        return type(error).__name__, error.reason, error.path
    except EncodeError as error:
        return "EncodeError", error.reason
    except Exception as error:  # noqa: BLE001  # what escapes is what is looked for
        return f"escaped: {error!r}"
    try:
        said = parse_line(line.decode())
    except Exception:  # noqa: BLE001  # a parser in C, of many errors
        return f"no line protocol: {line!r}"
    # A field of 1.0 is not one of 1 or true.
    return message, {n: (type(v), v) for n, v in said.pop("fields").items()}, said


def _forget() -> None:
    wire.plain_shapes.clear()
    line_protocol.templates.clear()


def _decoded_only(topic: Topic, payload: bytes) -> None:
    """The shape is known then, and its template is not."""
    _outcome(topic, payload, lambda *given: (decode(*given), b"x a=1"))


def _with_its_line(topic: Topic, payload: bytes) -> None:
    _outcome(topic, payload, _quick)


def _with_its_line_forgotten(topic: Topic, payload: bytes) -> None:
    _with_its_line(topic, payload)
    line_protocol.templates.clear()


_PREPARATIONS = {
    "decoded before": _decoded_only,
    "written before": _with_its_line,
    "written before, templates cleared": _with_its_line_forgotten,
}


def _telemetry(rng: random.Random) -> Members:
    return _some(
        rng,
        [
            ("seq", _number(rng)),
            ("boot", Number("3")),
            ("ms", Number(rng.choice(["0", "7", "999"]))),
            ("buffered", rng.random() < 0.7),  # more often true
            ("electrical", _electrical(rng)),
            ("thermal", _thermal(rng)),
            ("status", _health(rng)),
            ("values", _channels(rng, lambda: _number(rng))),
            ("counters", _channels(rng, lambda: Number(rng.choice(["12", "12.0"])))),
            ("contacts", _channels(rng, lambda: rng.random() < 0.5)),  # either
            (rng.choice(_NAMES), Number("9")),
        ],
    )


def _status(rng: random.Random) -> Members:
    return _some(
        rng,
        [
            ("state", rng.choice(["online", "offline", "sleeping"])),
            ("boot", Number("3")),
            ("schema", "1.0"),
            ("ip", "10.0.0.1"),
            ("firmware_version", "1.2.3"),
            (
                "config",
                [("rev", Number("3")), ("applied", rng.random() < 0.5)],
            ),  # either
            ("sensors", ("list", [rng.choice(_TEXTS) for _ in range(2)])),
            ("health", _health(rng)),
        ],
        required="state",
    )


def _some(rng: random.Random, members: Members, required: str = "") -> Members:
    chosen = [m for m in members if m[0] == required or rng.random() < 0.7]  # most
    return [("device_id", "oven-001"), ("timestamp", Number("1706352600")), *chosen]


def _channels(rng: random.Random, value: Callable[[], Any]) -> Members:
    names = rng.sample(["a", "b", "humidity", "silo_2", "zz"], rng.randint(0, 2))
    return [(name, rng.choice([value(), None])) for name in names]


def _electrical(rng: random.Random) -> Members:
    phases = [(phase, _number(rng)) for phase in "abc"[: rng.randint(1, 3)]]
    return [("voltage", phases), ("power_factor", Number("0.92"))]


def _thermal(rng: random.Random) -> Members:
    zones = [rng.choice([None, Number("185"), Number("-1.5")]) for _ in range(3)]
    return [
        ("temperature_zones", ("list", zones[: rng.randint(0, 3)])),
        ("setpoint", Number("190.0")),
    ]


def _health(rng: random.Random) -> Members:
    codes = [rng.choice(_TEXTS) for _ in range(rng.randint(0, 2))]
    return [
        ("operational_state", rng.choice([*_TEXTS, None])),
        ("wifi_rssi", Number("-65")),
        ("time_synced", rng.choice([True, False, None])),
        ("fault_codes", ("list", codes)),
    ]


def _number(rng: random.Random) -> Number:
    return Number(rng.choice(["0", "7", "185", "220.5", "1e-7"]))


def _changed(value: Any, rng: random.Random) -> Any:
    """The same with one change, somewhere."""
    if isinstance(value, tuple):
        items = [_changed(item, rng) for item in value[1]]
        return ("list", items)
    if isinstance(value, list) and value:
        return _with_members_changed(list(value), rng)
    if isinstance(value, Number):
        return Number(rng.choice(_NUMBERS))
    if isinstance(value, bool):
        return rng.choice([not value, None])
    if isinstance(value, str):
        return rng.choice([*_TEXTS, value + "1"])
    return rng.choice([True, None, Number("1")])


def _with_members_changed(members: Members, rng: random.Random) -> Members:
    at = rng.randrange(len(members))
    name, value = members[at]
    match rng.randrange(8):
        case 0 | 1:
            place = rng.randint(0, len(name))
            varied = name[:place] + rng.choice(_VARYING) + name[place:]
            members[at] = (varied, value)
        case 2:
            members[at] = (rng.choice(_NAMES), value)
        case 3:
            rng.shuffle(members)
        case 4:
            members[at] = (name, None)
        case 5:
            members.insert(at, (name + rng.choice(_VARYING), value))
        case _:
            members[at] = (name, _changed(value, rng))
    return members


def _written(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ",".join(map(_written, value[1])) + "]"
    if isinstance(value, list):
        members = [f"{json.dumps(name)}:{_written(item)}" for name, item in value]
        return "{" + ",".join(members) + "}"
    return json.dumps(value)
