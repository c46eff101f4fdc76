"""Everything that is wrong with a payload, for those who look for it in traffic.

A reader needs the first error alone. A person wants all of them, what readers make of
each, and which names they ignore.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from egiz_schema import repair, wire
from egiz_schema.address import Topic
from egiz_schema.codec import (
    TYPES,
    check_version,
    decode_with_dropped,
    mismatch,
    unknown_fields,
)
from egiz_schema.errors import DecodeError
from egiz_schema.known import present_type, type_info


class Problem(NamedTuple):
    """What keeps a payload from following the contract.

    Attributes:
        path: where, as ``$.thermal.setpoint``.
        reason: as that of a `DecodeError`.
        sentence: what is wrong, for people.
        dropped: the part that readers leave out, keeping the rest; None if they refuse
            the message.
    """

    path: str
    reason: str
    sentence: str
    dropped: str | None


class Unknown(NamedTuple):
    """A member that readers ignore.

    Attributes:
        path: where, as ``$.thermal.setpont``.
        near: the member of the contract that may be meant, or None.
    """

    path: str
    near: str | None


def problems(topic: Topic, payload: wire.Payload) -> list[Problem]:
    """All that is wrong, in the order of the payload."""
    payload = wire.as_bytes(payload)
    try:
        document = wire.parse(payload)
        check_version(document)
    except DecodeError as error:
        return [_problem(error)]
    found = {error.path: error for error in _faults(topic, document)}
    try:
        _, dropped = decode_with_dropped(topic, payload)
    except DecodeError as error:
        found.setdefault(error.path, error)
        ordered = sorted(found.values(), key=lambda each: _position(each, document))
        return [_problem(each) for each in ordered]
    return [
        _problem(error, _dropped_around(path, dropped)) for path, error in found.items()
    ]


def unknown(topic: Topic, payload: wire.Payload) -> list[Unknown]:
    """The members that readers ignore; none of what is no JSON."""
    try:
        paths = unknown_fields(topic, payload)
    except DecodeError:
        return []
    known = list(_known(type_info(TYPES[topic.kind]), "$"))
    return [Unknown(path, _near(path, known)) for path in paths]


def _problem(error: DecodeError, dropped: str | None = None) -> Problem:
    return Problem(error.path, error.reason, str(error), dropped)


def _dropped_around(path: str, dropped: Sequence[repair.Dropped]) -> str:
    """The part that was dropped with what is at `path`: that, or one around it."""
    return next(
        part.path
        for part in dropped
        if path == part.path or path.startswith((f"{part.path}.", f"{part.path}["))
    )


def _faults(topic: Topic, document: Any) -> Iterator[DecodeError]:
    named = document.get("device_id") if isinstance(document, dict) else None
    if isinstance(named, str) and named != topic.device_id:
        yield mismatch(topic)
    yield from repair.faults(TYPES[topic.kind], document)


def _position(error: DecodeError, document: Any) -> int:
    """That of the member of the payload; what is missing comes at the end."""
    names = list(document) if isinstance(document, dict) else []
    first = error.path.removeprefix("$.").partition(".")[0]
    name = first.partition("[")[0].partition("<")[0]
    return names.index(name) if name in names else len(names)


def _known(type_: Any, path: str) -> Iterator[str]:
    type_ = present_type(type_)
    if isinstance(type_, msgspec.inspect.DictType):
        yield from _known(type_.value_type, f"{path}.*")
    if isinstance(type_, msgspec.inspect.StructType):
        for field in type_.fields:
            inner = f"{path}.{field.encode_name}"
            yield inner
            yield from _known(field.type, inner)


def _near(path: str, known: list[str]) -> str | None:
    """A member beside it that is spelled alike, or of this very name elsewhere."""
    outer, _, name = path.rpartition(".")
    beside = {
        each.rpartition(".")[2]: each
        for each in known
        if _is_place(each.rpartition(".")[0], outer)
    }
    for close in get_close_matches(name.lower(), beside, 1):
        return f"{outer}.{close}"
    return next((each for each in known if each.endswith(f".{name}")), None)


def _is_place(pattern: str, path: str) -> bool:
    steps, wanted = path.split("."), pattern.split(".")
    return len(steps) == len(wanted) and all(
        ours in {"*", theirs} for ours, theirs in zip(wanted, steps, strict=True)
    )
