"""JSON Schemas of the four payloads, as msgspec derives them from the structs."""

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

import msgspec

from egiz_schema import limits
from egiz_schema.codec import TYPES
from egiz_schema.documents.meanings import MEANINGS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}

BASE = f"https://openegiz.org/schema/v{limits.WIRE_VERSION}"


def file_name(kind: str) -> str:
    """The file of a kind's schema, which is also the end of its ``$id``."""
    return f"{kind}.schema.json"


def json_schema(kind: str) -> Schema:
    """The schema of a kind's payload, with all that it refers to.

    It is for writers: what it refuses, a reader may repair. Unknown members are
    allowed, as a reader ignores them. A schema cannot say that the device of the topic
    is that of the payload, that telemetry measures at least one thing, that a payload
    has at most 4096 bytes, is 16 levels deep and names no member twice, and that a
    network's name has at most 32 bytes. Where a validator has Python's patterns, a text
    may end with a line feed.
    """
    struct = TYPES[kind]
    definitions = components([struct], "#/$defs/{name}")
    root = definitions.pop(struct.__name__)
    health = _HEALTH.get(kind)
    return {
        "$schema": DIALECT,
        "$id": f"{BASE}/{file_name(kind)}",
        **root,
        **(time_with_a_clock(health) if health else {}),
        "$defs": definitions,
    }


# The group that says whether the clock of the device is set.
_HEALTH = {"telemetry": "status", "status": "health"}


def time_with_a_clock(health: str) -> Schema:
    """Without a clock, a device may say any time before 2020."""
    unset = {
        "type": "object",
        "properties": {"time_synced": {"const": False}},
        "required": ["time_synced"],
    }
    return {
        "if": {"properties": {health: unset}, "required": [health]},
        "else": {
            "properties": {"timestamp": {"minimum": limits.TIMESTAMP_S[0]}},
        },
    }


def components(structs: Iterable[type], reference: str) -> dict[str, Schema]:
    """The schemas of `structs` and of their parts, by name.

    Args:
        structs: the messages to describe.
        reference: how one schema points to another, as ``#/$defs/{name}``.
    """
    _, schemas = msgspec.json.schema_components(structs, ref_template=reference)
    for name, schema in schemas.items():
        describe(name, schema)
    return schemas


def describe(struct: str, schema: Schema) -> None:
    """Write into the schema of a struct what its types do not say."""
    if "description" in schema:
        schema["description"] = _as_markdown(schema["description"])
    for field, field_schema in schema["properties"].items():
        if (struct, field) in MEANINGS:
            present(field_schema)["description"] = MEANINGS[struct, field]


def present(schema: Schema) -> Schema:
    """The schema of a field when it is there: an optional one may also be null."""
    if _NULL not in schema.get("anyOf", ()):
        return schema
    value: Schema
    (value,) = (choice for choice in schema["anyOf"] if choice != _NULL)
    return value


def _as_markdown(docstring: str) -> str:
    # Python's None is JSON's null, and its literals have two backticks.
    return cleandoc(docstring).replace("``", "`").replace("`None`", "`null`")
