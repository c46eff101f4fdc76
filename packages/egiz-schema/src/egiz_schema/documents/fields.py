"""Every field of every message, as one flat list: which the other documents use."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from egiz_schema.codec import TYPES
from egiz_schema.documents.json_schema import Schema, components, present

_REFERENCE = "{name}"


class Field(NamedTuple):
    """One value that a payload may hold; `minimum` and `maximum` are in `unit`.

    `shortest` and `longest` are characters of a text; `most` is how many items a list,
    or names an object, may have. `known` are texts that readers know, of an open set.
    """

    kind: str
    path: tuple[
        str, ...
    ] = ()  # "zones[]" is an item of a list, "*" a name people chose
    type: str = ""
    unit: str = ""  # UCUM
    minimum: float | None = None
    maximum: float | None = None
    shortest: int | None = None
    longest: int | None = None
    most: int | None = None
    known: tuple[str, ...] = ()
    is_required: bool = True  # in the object that holds it
    meaning: str = ""


@cache
def fields(kind: str) -> tuple[Field, ...]:
    """The fields of a kind's payload, in the order of the structs."""
    schemas = components([TYPES[kind]], _REFERENCE)
    return tuple(_leaves(schemas, schemas[TYPES[kind].__name__], Field(kind)))


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
    return outer._replace(
        path=path,
        meaning=schema["description"],
        most=schema.get("maxItems", schema.get("maxProperties")),
        is_required=False,
    )


def _leaf(outer: Field, schema: Schema) -> Field:
    meanings = (outer.meaning, schema.get("description", ""))
    choices = schema.get("anyOf", [schema])
    # The choices of one field have the same unit and range, if they have any.
    limits = {name: value for choice in choices for name, value in choice.items()}
    return outer._replace(
        type=" or ".join(choice["type"] for choice in choices),
        unit=limits.get("x-unit", ""),
        minimum=limits.get("minimum"),
        maximum=limits.get("maximum"),
        shortest=limits.get("minLength"),
        longest=limits.get("maxLength"),
        known=tuple(limits.get("examples", ())),
        meaning=". ".join(filter(None, meanings)),
    )
