"""The gate: what may not change within a wire major.

Firmware is upgraded last, or never. So what a device writes comes from old firmware,
and new services read it; what a service writes is new, and old firmware reads it.

| change                  | telemetry, status     | config, command               |
|-------------------------|-----------------------|-------------------------------|
| new optional field      | yes                   | yes: old firmware ignores it  |
| new required field      | no: never written     | no: a retained config lacks it|
| optional to required    | no: is not written    | no: a retained config lacks it|
| required to optional    | no: readers rely on it| no: old firmware refuses it   |
| a bound is widened      | yes                   | no: old firmware refuses it   |
| a bound is narrowed     | no: old firmware's    | yes, see below                |
|                         | values are refused    |                               |
| field deleted           | no: readers rely on it| no: an order that is silently |
|                         |                       | ignored is worse than an error|
| new known value         | if the set is open: who reads it keeps what is new    |
| new kind, new reason    | yes                   | yes                           |
| unknown group alone     | is accepted, always   | is ignored, as any unknown    |
| size or depth of payload| no: one limit holds in both directions                |
| all else                | no                                                    |

A narrowed bound of config has a price: new firmware refuses what an old service
retained, until a service writes it again; the device's status says so.

What must be broken nevertheless is written down with its reason, in ``allow.toml``
beside the released contract, and leaves it at the next release::

    [[allow]]
    rule = "FIELD_NO_DELETE"
    path = "telemetry.thermal.setpoint"
    reason = "no device ever sent it"
"""

import re
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from egiz_schema import contract
from egiz_schema.contract import Document

RULES = {
    "WIRE_VERSION_SAME": "another wire major is another contract: freeze it as its own",
    "TOPIC_GRAMMAR_SAME": "a topic of today is taken apart tomorrow as it is today",
    "MESSAGE_NO_DELETE": "a kind of message stays",
    "RETAIN_QOS_SAME": "who writes a message, its QoS and whether it is retained stay",
    "FIELD_NO_DELETE": "a field stays: readers rely on it, writers expect its effect",
    "FIELD_NEW_MUST_BE_OPTIONAL": "a new field is optional: old writers do not know it",
    "FIELD_SAME_TYPE": "type and pattern of a field stay, and whether its set is open",
    "FIELD_REQUIRED_NOT_RELAXED": "a required field stays so: readers rely on it",
    "FIELD_OPTIONAL_NOT_REQUIRED": "an optional field stays so: old writers omit it",
    "DEFAULT_SAME": "what a field means that is not there stays",
    "UNKNOWN_GROUP_ACCEPTED": "telemetry of a group that a reader does not know is no "
    "error: else no later version can add one that stands alone",
    "UNIT_SAME": "a quantity keeps its unit; another unit is another field",
    "SCALE_SAME": "a number keeps its step: old values are no multiples of another",
    "BOUND_NOT_NARROWED": "what old firmware writes is accepted: bounds may widen",
    "BOUND_NOT_WIDENED": "what is written to old firmware fits it: bounds may narrow",
    "ENUM_NO_DELETE": "a known value stays known",
    "ENUM_ADD_ONLY_IF_OPEN": "a closed set stays as it is: old readers refuse the new",
    "REASON_CODE_NO_DELETE": "a reason code stays, with its error: dashboards count it",
    "ALLOWANCE_UNUSED": "an allowance that allows nothing is deleted",
}

_BYTES_MAX = 1 << 24  # of a released contract; v1 has less than a hundredth
_MISSING = re.compile("Object missing required field (`[^`]*`)")  # as msgspec says it
_LOWER = ("minimum", "exclusive_minimum", "min_length")
_UPPER = ("maximum", "exclusive_maximum", "max_length", "bytes_max", "depth_max")
_NARROWED, _WIDENED = "BOUND_NOT_NARROWED", "BOUND_NOT_WIDENED"
_BOUND_RULES = {"device": (_NARROWED,), "service": (_WIDENED,)}


class Breach(msgspec.Struct, frozen=True):
    """A change that a rule forbids; ``str()`` is ``RULE path old new``, as JSON."""

    rule: str
    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old, new = (msgspec.json.encode(side).decode() for side in (self.old, self.new))
        return f"{self.rule} {self.path} {old} {new}"


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breach that is meant; it must have a reason."""

    rule: str
    path: str
    reason: Annotated[str, msgspec.Meta(pattern=r"\S")]


class _Bounds(msgspec.Struct, frozen=True):
    minimum: float | None = None
    exclusive_minimum: float | None = None
    min_length: float | None = None
    maximum: float | None = None
    exclusive_maximum: float | None = None
    max_length: float | None = None
    bytes_max: float | None = None
    depth_max: float | None = None


class _Field(_Bounds, frozen=True, kw_only=True):
    type: str
    required: bool = False
    open: bool | None = None
    known: list[str] | None = None


class _Message(msgspec.Struct, frozen=True):
    direction: Literal["device", "service"]
    fields: dict[str, _Field]


class _Released(msgspec.Struct, frozen=True):
    """What is read of a released contract, to say what is wrong with another file."""

    wire: _Bounds
    topic: dict[str, Any]
    messages: dict[str, _Message]
    errors: dict[str, list[str]]


class _AllowFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    allow: list[Allowance] = []


def check(released: Path = contract.RELEASED) -> list[Breach]:
    """Compare today's contract with the one frozen at `released`.

    Raises:
        OSError: nothing is frozen there.
        ValueError: it, or the ``allow.toml`` beside it, cannot be read.
    """
    with released.open("rb") as file:
        text = file.read(_BYTES_MAX)
    if len(text) == _BYTES_MAX:
        raise ValueError(f"{released}: not a released contract: it is too large")
    allowances = read_allowances(released.with_name("allow.toml"))
    try:
        old = msgspec.json.decode(text)
        msgspec.convert(old, _Released)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = _MISSING.sub(r"its member \1 is missing", str(error))
        raise ValueError(f"{released}: not a released contract: {reason}") from None
    return excuse(compare(old, contract.describe()), allowances)


def compare(old: Document, new: Document) -> list[Breach]:
    """Every change from `old` to `new`, both of `contract.describe`, that breaks."""
    return [
        *_changes("WIRE_VERSION_SAME", "wire", old["wire"], new["wire"], ("version",)),
        *_bounds((_NARROWED, _WIDENED), "wire", old["wire"], new["wire"]),
        *_changes("TOPIC_GRAMMAR_SAME", "topic", old["topic"], new["topic"]),
        *_messages(old["messages"], new["messages"]),
        *_reader(old.get("reader", {}), new.get("reader", {})),
        *_reasons(old["errors"], new["errors"]),
    ]


def read_allowances(path: Path) -> list[Allowance]:
    """Read an ``allow.toml``; without the file nothing is allowed.

    Raises:
        ValueError: not TOML, not a list of allowances, or one without a reason.
    """
    if not path.exists():
        return []
    return msgspec.toml.decode(path.read_bytes(), type=_AllowFile).allow


def excuse(breaches: Iterable[Breach], allowances: Iterable[Allowance]) -> list[Breach]:
    """The breaches that nothing allows, and the allowances that nothing needs."""
    allowed = {(allowance.rule, allowance.path) for allowance in allowances}
    breaches = list(breaches)
    found = {(breach.rule, breach.path) for breach in breaches}
    unused = [
        Breach("ALLOWANCE_UNUSED", path, rule, None)
        for rule, path in sorted(allowed - found)
    ]
    left = [breach for breach in breaches if (breach.rule, breach.path) not in allowed]
    return left + unused


def _messages(old: Document, new: Document) -> Iterator[Breach]:
    for kind, message in old.items():
        if kind not in new:
            yield Breach("MESSAGE_NO_DELETE", kind, message["direction"], None)
            continue
        delivery = ("direction", "qos", "retain")
        yield from _changes("RETAIN_QOS_SAME", kind, message, new[kind], delivery)
        rules = _BOUND_RULES[message["direction"]]
        yield from _fields(rules, kind, message["fields"], new[kind]["fields"])


def _fields(
    rules: tuple[str, ...], kind: str, old: Document, new: Document
) -> Iterator[Breach]:
    for path in _only_in(old, new):
        yield Breach("FIELD_NO_DELETE", f"{kind}.{path}", old[path]["type"], None)
    for path in _only_in(new, old):
        if new[path].get("required"):
            type_ = new[path]["type"]
            yield Breach("FIELD_NEW_MUST_BE_OPTIONAL", f"{kind}.{path}", None, type_)
    for path in old:
        if path in new:
            yield from _field(rules, f"{kind}.{path}", old[path], new[path])


def _only_in(some: Document, others: Document) -> list[str]:
    """The paths that only `some` has, without those that are within another of them."""
    paths = [path for path in some if path not in others]
    within = tuple(path + mark for path in paths for mark in (".", "[", "{", "<"))
    return [path for path in paths if not path.startswith(within)]


def _field(
    rules: tuple[str, ...], path: str, old: Document, new: Document
) -> Iterator[Breach]:
    same = ("type", "pattern", "open")
    yield from _changes("FIELD_SAME_TYPE", path, old, new, same)
    yield from _changes("SCALE_SAME", path, old, new, ("multiple_of",))
    yield from _changes("UNIT_SAME", path, old, new, ("unit",))
    yield from _presence(path, old, new)
    yield from _bounds(rules, path, old, new)
    yield from _deleted("ENUM_NO_DELETE", path, old.get("known"), new.get("known"))
    if old.get("open") is False:
        known = old.get("known")
        yield from _added("ENUM_ADD_ONLY_IF_OPEN", path, known, new.get("known"))


def _presence(path: str, old: Document, new: Document) -> Iterator[Breach]:
    is_required = old.get("required", False)
    if is_required == new.get("required", False):
        yield from _changes("DEFAULT_SAME", path, old, new, ("default",))
        return
    relaxed = "FIELD_REQUIRED_NOT_RELAXED"
    rule = relaxed if is_required else "FIELD_OPTIONAL_NOT_REQUIRED"
    yield from _changes(rule, path, old, new, ("required",))


def _bounds(
    rules: tuple[str, ...], path: str, old: Document, new: Document
) -> Iterator[Breach]:
    for name in (*_LOWER, *_UPPER):
        room, new_room = _room(name, old), _room(name, new)
        rule = _NARROWED if new_room < room else _WIDENED
        if new_room != room and rule in rules:
            yield Breach(rule, f"{path}.{name}", old.get(name), new.get(name))


def _room(name: str, field: Document) -> float:
    """How far a bound lets values go: what is not bounded goes anywhere."""
    bound: float | None = field.get(name)
    if bound is None:
        return inf
    return -bound if name in _LOWER else bound


def _reader(old: Document, new: Document) -> Iterator[Breach]:
    was, verdict = (side.get("unknown_group_alone") for side in (old, new))
    if verdict not in {None, "accepted"}:
        yield Breach("UNKNOWN_GROUP_ACCEPTED", "telemetry", was, verdict)


def _reasons(old: Document, new: Document) -> Iterator[Breach]:
    for error, codes in old.items():
        path = f"errors.{error}"
        yield from _deleted("REASON_CODE_NO_DELETE", path, codes, new.get(error))


def _deleted(
    rule: str, path: str, old: list[str] | None, new: list[str] | None
) -> Iterator[Breach]:
    for value in old or []:
        if value not in (new or []):
            yield Breach(rule, f"{path}.{value}", value, None)


def _added(
    rule: str, path: str, old: list[str] | None, new: list[str] | None
) -> Iterator[Breach]:
    for value in new or []:
        if value not in (old or []):
            yield Breach(rule, f"{path}.{value}", None, value)


def _changes(
    rule: str, path: str, old: Document, new: Document, names: Iterable[str] = ()
) -> Iterator[Breach]:
    """What differs of `names`, or of all."""
    for name in names or old | new:
        if old.get(name) != new.get(name):
            yield Breach(rule, f"{path}.{name}", old.get(name), new.get(name))
