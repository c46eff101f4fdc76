"""Every field of every message, as one flat list: what the other documents tell of."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from egiz_schema.codec import TYPES
from egiz_schema.documents.json_schema import Schema, components, present

_REFERENCE = "{name}"


class Field(NamedTuple):
    """One value that a payload may hold; `minimum` and `maximum` are in `unit`."""

    kind: str
    path: tuple[str, ...]  # "zones[]" is an item of a list, "*" a name people chose
    type: str
    unit: str  # UCUM
    minimum: float | None
    maximum: float | None
    is_required: bool  # in the object that holds it
    meaning: str


@cache
def fields(kind: str) -> tuple[Field, ...]:
    """The fields of a kind's payload, in the order of the structs."""
    schemas = components([TYPES[kind]], _REFERENCE)
    start = Field(kind, (), "", "", None, None, is_required=True, meaning="")
    return tuple(_leaves(schemas, schemas[TYPES[kind].__name__], start))


def _leaves(
    schemas: dict[str, Schema], schema: Schema, outer: Field
) -> Iterator[Field]:
    schema = present(schema)
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    *before, last = outer.path or ("",)
    if "properties" in schema:
        for name, member in schema["properties"].items():
            inner = outer._replace(
                path=(*outer.path, name), is_required=name in schema["required"]
            )
            yield from _leaves(schemas, member, inner)
    elif "additionalProperties" in schema:
        inner = _within(outer, schema, (*outer.path, "*"))
        yield from _leaves(schemas, schema["additionalProperties"], inner)
    elif "items" in schema:
        inner = _within(outer, schema, (*before, f"{last}[]"))
        yield from _leaves(schemas, schema["items"], inner)
    else:
        yield _leaf(outer, schema)


def _within(outer: Field, schema: Schema, path: tuple[str, ...]) -> Field:
    return outer._replace(path=path, meaning=schema["description"], is_required=False)


def _leaf(outer: Field, schema: Schema) -> Field:
    told = (outer.meaning, schema.get("description", ""))
    return outer._replace(
        type=" or ".join(each["type"] for each in schema.get("anyOf", [schema])),
        unit=schema.get("x-unit", ""),
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        meaning=". ".join(filter(None, told)),
    )
