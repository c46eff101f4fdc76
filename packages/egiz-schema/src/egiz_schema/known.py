"""What msgspec knows of the messages, and which members of a payload it does not."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

# To find it out takes a millisecond.
type_info = cache(msgspec.inspect.type_info)


def present_type(known: Any) -> Any:
    """Of what `msgspec.inspect` says of a field: its type where it is not null."""
    if isinstance(known, msgspec.inspect.UnionType):
        known = next(
            each
            for each in known.types
            if not isinstance(each, msgspec.inspect.NoneType)
        )
    if isinstance(known, msgspec.inspect.Metadata):
        return present_type(known.type)
    return known


def unknown_members(known: Any, document: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of each member of a document that its type does not have."""
    known = present_type(known)
    if not isinstance(document, dict):
        return
    if isinstance(known, msgspec.inspect.DictType):  # of names that people chose
        for name, value in document.items():
            yield from unknown_members(known.value_type, value, f"{path}.{name}")
    if not isinstance(known, msgspec.inspect.StructType):
        return
    types = {field.encode_name: field.type for field in known.fields}
    for name, value in document.items():
        if name in types:
            yield from unknown_members(types[name], value, f"{path}.{name}")
        else:
            yield f"{path}.{name}", value
