"""The contract as plain JSON: what `egiz_schema.gate` compares with the released one.

Everything is read from where it is enforced: the topic grammar by asking it, fields
from the structs, reason codes from the docstrings that promise them. A path is
``electrical.voltage.a``; ``[]`` is an item of a list, ``{}`` a value and ``<key>`` a
key of a map, and ``<string>`` one type of a union of several. The kinds of the topic
are the messages.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from egiz_schema import errors, limits, topics
from egiz_schema.codec import TYPES, decode
from egiz_schema.delivery import DELIVERY

Document = dict[str, Any]

RELEASED = Path(__file__).parent / "released" / "v1.json"

# A type that is not here is not in the contract yet: who adds one adds its rule.
_JSON_TYPES: dict[type[inspect.Type], str] = {
    inspect.BoolType: "boolean",
    inspect.DictType: "object",
    inspect.FloatType: "number",
    inspect.IntType: "integer",
    inspect.ListType: "array",
    inspect.LiteralType: "string",
    inspect.NoneType: "null",
    inspect.StrType: "string",
    inspect.StructType: "object",
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusive_minimum",
    "le": "maximum",
    "lt": "exclusive_maximum",
    "multiple_of": "multiple_of",
    "min_length": "min_length",
    "max_length": "max_length",
}
_FROM_SCHEMA = {"x-unit": "unit", "examples": "known", "pattern": "pattern"}


def describe() -> Document:
    """Tell today's contract, always in the same order."""
    return {
        "wire": {
            "version": limits.WIRE_VERSION,
            "bytes_max": limits.PAYLOAD_BYTES_MAX,
            "depth_max": limits.DEPTH_MAX,
        },
        "topic": _topic(),
        "messages": {kind: _message(kind) for kind in topics.KINDS},
        "reader": _reader(),
        "errors": {name: list(codes) for name, codes in errors.reasons().items()},
    }


def freeze(path: Path) -> None:
    """Write today's contract to `path`: what the next one must not break.

    For a release only: frozen at any other time, it hides the breach from the gate.
    """
    document = msgspec.json.format(msgspec.json.encode(describe()), indent=1)
    path.write_bytes(document + b"\n")


def _topic() -> Document:
    example = "a-b-c"
    return {
        "root": topics.ROOT,
        "levels": topics.join_topic("a", example, topics.KINDS[0]).count("/") + 1,
        "alphabet": "".join(filter(topics.is_facility, map(chr, range(256)))),
        "facility_max": topics.FACILITY_MAX,
        "device_id_min": topics.DEVICE_ID_MIN,
        "device_id_max": topics.DEVICE_ID_MAX,
        "device_id_split": {example: list(topics.split_device_id(example))},
    }


def _reader() -> Document:
    """What a reader does with telemetry that a newer firmware may write: ask it."""
    newer = {"device_id": "a-b", "timestamp": limits.TIMESTAMP_S[0]}
    topic = topics.join_topic("a", "a-b", "telemetry")
    alone = msgspec.json.encode(newer | {"of_a_newer_contract": {"value": 1}})
    try:
        decode(topic, alone)
    except errors.DecodeError as error:
        return {"unknown_group_alone": error.reason}
    return {"unknown_group_alone": "accepted"}


def _message(kind: str) -> Document:
    delivery = DELIVERY[kind]
    return {
        "direction": "device" if delivery.action == "send" else "service",
        "qos": delivery.qos,
        "retain": delivery.retain,
        "fields": dict(_fields("", inspect.type_info(TYPES[kind]))),
    }


def _fields(prefix: str, struct: inspect.Type) -> Iterator[tuple[str, Document]]:
    assert isinstance(struct, inspect.StructType)
    # An object, open to fields that an old reader does not know: nothing else evolves.
    assert not any((struct.array_like, struct.forbid_unknown_fields, struct.tag))
    for field in struct.fields:
        facts: Document = {"required": field.required}
        if not field.required:
            facts["default"] = _default(field)
        yield from _described(f"{prefix}{field.encode_name}", field.type, facts)


def _default(field: inspect.Field) -> Any:
    if field.default_factory is msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    return msgspec.to_builtins(field.default_factory())


def _described(
    path: str, type_: inspect.Type, facts: Document
) -> Iterator[tuple[str, Document]]:
    """The field, item, value or key at `path`, then what is within it."""
    union = type_.types if isinstance(type_, inspect.UnionType) else (type_,)
    named = {_JSON_TYPES[type(_bare(one))]: one for one in union}
    is_nullable = named.pop("null", None) is not None
    # Sorted, for the order in which a union is written says nothing.
    names = [*sorted(named), *(["null"] if is_nullable else [])]
    facts = {"type": "|".join(names), **facts}
    if len(named) == 1:
        (value,) = named.values()
        yield path, facts | _limits(value)
        yield from _within(path, _bare(value))
    else:
        yield path, facts
        for name in sorted(named):
            yield from _described(f"{path}<{name}>", named[name], {})


def _within(path: str, type_: inspect.Type) -> Iterator[tuple[str, Document]]:
    if isinstance(type_, inspect.StructType):
        yield from _fields(f"{path}.", type_)
    elif isinstance(type_, inspect.ListType):
        yield from _described(f"{path}[]", type_.item_type, {})
    elif isinstance(type_, inspect.DictType):
        yield from _described(f"{path}<key>", type_.key_type, {})
        yield from _described(f"{path}{{}}", type_.value_type, {})


def _limits(type_: inspect.Type) -> Document:
    bare = _bare(type_)
    found = {name: getattr(bare, source, None) for source, name in _LIMITS.items()}
    if isinstance(type_, inspect.Metadata):
        extra = type_.extra_json_schema or {}
        found |= {name: extra.get(source) for source, name in _FROM_SCHEMA.items()}
    if isinstance(bare, inspect.LiteralType):  # all other known values are examples
        found |= {"known": list(bare.values), "open": False}
    return {name: value for name, value in found.items() if value is not None}


def _bare(type_: inspect.Type) -> inspect.Type:
    return type_.type if isinstance(type_, inspect.Metadata) else type_
