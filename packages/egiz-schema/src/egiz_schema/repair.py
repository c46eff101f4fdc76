"""What is left of a message of which one reading is wrong.

A measured or reported value that is out of range, of another type, or no printable
text becomes absent: its neighbours are as good as before. What says whose message it
is, and when it was (`FRAME`), cannot be left out, so a fault there refuses it all; and
an order (config, command) is obeyed as a whole or not at all.

What becomes absent is the smallest part that may be: a value, an item of a list (null
where the list has places, as zones have), a member of a map, a group, or a group whose
required member is wrong. The work is bounded by the size of the payload.
"""

from collections.abc import Callable, Iterator
from functools import cache
from sys import float_info
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from egiz_schema import hints
from egiz_schema.errors import InvalidPayload, explain
from egiz_schema.limits import is_channel_name
from egiz_schema.msgspec_errors import reason_of, sentence_of
from egiz_schema.types import DeviceId, Shared, broken_rule, is_text

# Whose message it is, and when it was: nothing may be guessed here.
FRAME = frozenset(
    {"device_id", "timestamp", "ms", "v", "seq", "boot", "buffered", "state"}
)


# Without its unit a channel would have the usual one of its quantity: another value.
DEFINING = frozenset({("Channel", "unit")})


class Dropped(NamedTuple):
    """A part of a payload that is absent from the message, and why.

    Attributes:
        path: where it was, as ``$.thermal.temperature_zones[1]``; ``$.values<key>`` is
            a name in a map.
        reason: ``type``, ``range``, ``charset`` or ``missing`` (of what it needs).
    """

    path: str
    reason: str


class _Unusable(Exception):  # it is caught where the part may be left out
    def __init__(self, reason: str, path: str, sentence: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
        self.sentence = sentence or explain(reason)

    def as_error(self) -> InvalidPayload:
        return InvalidPayload(self.sentence, self.reason, self.path)


class _Reading:
    """One reading of a document, which the first fault ends.

    Attributes:
        dropped: what was left out.
    """

    def __init__(self) -> None:
        self.dropped: list[Dropped] = []

    def part(self, rule: "_Rule", value: Any, path: str, otherwise: Any) -> Any:  # noqa: ARG002  # of those that go on
        """A part that may be absent: what it is, or `otherwise`."""
        return rule(self, value, path)

    def needed(self, rule: "_Rule", value: Any, path: str) -> Any:
        """A part that may not be absent."""
        return rule(self, value, path)

    def missing(self, path: str, sentence: str) -> None:
        """A part that may not be absent is."""
        raise _Unusable("missing", path, sentence)


class _Forgiving(_Reading):
    """It drops what may be absent."""

    def part(self, rule: "_Rule", value: Any, path: str, otherwise: Any) -> Any:
        before = len(self.dropped)
        try:
            return rule(self, value, path)
        except _Unusable as fault:
            del self.dropped[before:]  # it says more than what is within it
            self.dropped.append(Dropped(path, fault.reason))
            return otherwise


class _Collecting(_Reading):
    """It goes on after each fault.

    Attributes:
        faults: all of them, in the order of the document.
    """

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[InvalidPayload] = []

    def part(self, rule: "_Rule", value: Any, path: str, otherwise: Any) -> Any:
        try:
            return rule(self, value, path)
        except _Unusable as fault:
            self.faults.append(fault.as_error())
            return otherwise

    def needed(self, rule: "_Rule", value: Any, path: str) -> Any:
        return self.part(rule, value, path, _ABSENT)

    def missing(self, path: str, sentence: str) -> None:
        self.faults.append(_Unusable("missing", path, sentence).as_error())


# Reads a value that stands at a path, or raises `_Unusable`.
_Rule = Callable[[_Reading, Any, str], Any]
_ABSENT = object()
_CHANNEL = "the name of a channel is of a-z, 0-9 and _, beginning with a-z"
_UNIONS = (Union, UnionType)
_TIMES = frozenset({"$.timestamp", "$.expires_at"})


class _Member(NamedTuple):
    rule: _Rule
    is_required: bool
    may_be_null: bool
    is_defining: bool  # if it is there, and wrong, so is all of the group


def repaired(
    struct: type[msgspec.Struct], document: Any, *, forgives: bool
) -> tuple[Any, tuple[Dropped, ...]]:
    """A parsed document without what is wrong, and what that was.

    Integers that are written as 86400.0 are integers afterwards.

    Raises:
        InvalidPayload: something is wrong that cannot be dropped.
    """
    reading = _Forgiving() if forgives else _Reading()
    try:
        members = _struct(struct)(reading, document, "$")
    except _Unusable as fault:
        raise fault.as_error() from None
    return members, tuple(reading.dropped)


def faults(struct: type[msgspec.Struct], document: Any) -> list[InvalidPayload]:
    """All that is wrong with a parsed document, whether it may be dropped or not."""
    reading = _Collecting()
    reading.part(_struct(struct), document, "$", None)
    return reading.faults


def integral(value: Any) -> Any:
    """The integer that a number without a fraction is, as JSON Schema has it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def says_something(part: Any) -> bool:
    """Whether any JSON holds a value: ``{"a": [null]}`` does not."""
    if isinstance(part, dict):
        part = part.values()
    elif not isinstance(part, list):
        return part is not None
    return any(map(says_something, part))


@cache
def _members(struct: type[msgspec.Struct]) -> dict[str, _Member]:
    return {
        field.encode_name: _Member(
            _rule(field.type),
            field.required,
            type(None) in get_args(field.type),
            (struct.__name__, field.encode_name) in DEFINING,
        )
        for field in msgspec.structs.fields(struct)
    }


def _rule(annotation: Any) -> _Rule:
    """How a value of this type is read, which is not null."""
    bare = bare_type(annotation)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return _struct(bare)
    if get_origin(bare) is list:
        return _list(annotation, *get_args(bare))
    if get_origin(bare) is dict:
        return _map(annotation, *get_args(bare))
    return _leaf(annotation, bare)


def bare_type(annotation: Any) -> Any:
    """A type without what a field may be besides: constraints, and null."""
    if get_origin(annotation) is Annotated:
        return bare_type(get_args(annotation)[0])
    if get_origin(annotation) in _UNIONS:
        choices = [each for each in get_args(annotation) if each is not type(None)]
        if len(choices) == 1:
            return bare_type(choices[0])
    return annotation


def _leaf(annotation: Any, bare: Any) -> _Rule:
    # Another device's id is found at the end, when all else is right.
    holds = is_text if annotation is DeviceId else _predicate(annotation)

    def read(_: _Reading, value: Any, path: str) -> Any:
        if bare is int:
            value = integral(value)
        read = _converted(value, annotation, path)
        if holds and (isinstance(read, str) or bare is float) and not holds(read):
            sentence = _CHANNEL if holds is is_channel_name else ""
            raise _Unusable(broken_rule(holds, read), path, sentence)
        return read

    return read


def _converted(value: Any, annotation: Any, path: str) -> Any:
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        reason = "range" if _is_endless(value) else reason_of(error)
        hint = hints.of_time(value) if path in _TIMES else ""
        raise _Unusable(reason, path, sentence_of(error) + hint) from None


def _check_kind(value: Any, kind: type, path: str) -> None:
    if not isinstance(value, kind):
        reason = "range" if _is_endless(value) else "type"
        hint = hints.of_root(value) if path == "$" else ""
        raise _Unusable(reason, path, explain(reason) + hint)


def _is_endless(value: Any) -> bool:
    """Whether it is beyond any number, whatever was expected."""
    return isinstance(value, int | float) and abs(value) > float_info.max


def _struct(struct: type[msgspec.Struct]) -> _Rule:
    def read(reading: _Reading, value: Any, path: str) -> Any:
        _check_kind(value, dict, path)
        known, members = _members(struct), {}
        for name, each in value.items():
            kept = _read_member(reading, known.get(name), each, (path, name))
            if kept is not _ABSENT:
                members[name] = kept
        for name, member in known.items():
            if member.is_required and name not in value:
                reading.missing(f"{path}.{name}", _sentence_of_missing(name, value))
        return members

    return read


def _sentence_of_missing(name: str, members: dict[str, Any]) -> str:
    if not members:
        return f"{explain('missing')}; the object is empty"
    return explain("missing") + hints.of_missing(name, members)


def _read_member(
    reading: _Reading, member: _Member | None, value: Any, place: tuple[str, str]
) -> Any:
    if member is None or (value is None and member.may_be_null):
        return _ABSENT
    outer, name = place
    path = f"{outer}.{name}"
    if member.is_required or member.is_defining or (outer == "$" and name in FRAME):
        return reading.needed(member.rule, value, path)
    return reading.part(member.rule, value, path, _ABSENT)


def _list(annotation: Any, item: Any) -> _Rule:
    rule, has_places = _rule(item), type(None) in get_args(item)

    def read(reading: _Reading, value: Any, path: str) -> Any:
        _check_length(value, list, annotation, path)
        otherwise = None if has_places else _ABSENT
        items = [
            None
            if has_places and each is None
            else reading.part(rule, each, f"{path}[{index}]", otherwise)
            for index, each in enumerate(value)
        ]
        return [each for each in items if each is not _ABSENT]

    return read


def _map(annotation: Any, key: Any, item: Any) -> _Rule:
    name, rule, may_be_null = _leaf(key, str), _rule(item), type(None) in get_args(item)

    def read(reading: _Reading, value: Any, path: str) -> Any:
        _check_length(value, dict, annotation, path)
        members: dict[str, Any] = {}
        for called, each in value.items():
            if reading.part(name, called, f"{path}<key>", _ABSENT) is _ABSENT:
                continue
            if may_be_null and each is None:
                members[called] = None
                continue
            kept = reading.part(rule, each, f"{path}.{called}", _ABSENT)
            if kept is not _ABSENT:
                members[called] = kept
        return members

    return read


def _check_length(value: Any, kind: type, annotation: Any, path: str) -> None:
    _check_kind(value, kind, path)
    for meta in _metas(annotation):
        if isinstance(meta, msgspec.Meta) and len(value) > (meta.max_length or 0):
            raise _Unusable("range", path)


def _predicate(annotation: Any) -> Callable[[Any], bool] | None:
    """What no bound can say of values of this type."""
    for meta in _metas(annotation):
        if isinstance(meta, Shared) and meta.holds is not None:
            return meta.holds
    return None


def _metas(annotation: Any) -> Iterator[Any]:
    """The constraints, of the type itself or of those that it may be."""
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    elif get_origin(annotation) in _UNIONS:
        for each in get_args(annotation):
            yield from _metas(each)
