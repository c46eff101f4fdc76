"""What to do about a message that cannot be written: a hint for who builds messages."""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any, get_args, get_origin

import msgspec

from egiz_schema.repair import bare_type


def of_other(given: object) -> str:
    """About what is no message at all."""
    kind = type(given).__name__
    if hasattr(given, "to_struct"):
        return f"{kind} is a pydantic model; encode its .to_struct()"
    if isinstance(given, dict):
        return "a dict is no message; msgspec.convert(it, egiz_schema.Telemetry) is one"
    if isinstance(given, str | bytes | bytearray | memoryview):
        return f"{kind} is no message; if it is a payload already, decode checks it"
    return f"{kind} is no message: Telemetry, Status, Config or Command is"


def of_message(message: msgspec.Struct) -> str:
    """About the first member whose value has not the type of the contract."""
    return next(_of_struct(message, "$"), "")


def _of_struct(struct: msgspec.Struct, path: str) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        yield from _of_value(value, field.type, f"{path}.{field.encode_name}")


def _of_value(value: Any, annotation: Any, path: str) -> Iterator[str]:
    bare = bare_type(annotation)
    wanted = get_origin(bare) or bare
    choices = tuple(bare_type(each) for each in get_args(bare)) or (bare,)
    if value is None:
        return
    if wanted in {list, dict}:
        yield from _of_container(value, bare, path)
    elif isinstance(value, msgspec.Struct) and value.__class__ is bare:
        yield from _of_struct(value, path)
    elif not _is_one_of(value, choices):
        yield f"{path}: {_fix(value, choices[0])}"


def _is_one_of(value: Any, choices: tuple[type, ...]) -> bool:
    if type(value) is float and int in choices:
        return value.is_integer()
    return type(value) in choices or (type(value) is int and float in choices)


def _of_container(value: Any, bare: Any, path: str) -> Iterator[str]:
    wanted, item = get_origin(bare), get_args(bare)[-1]
    if type(value) is not wanted:
        fix = (
            "list(...) makes one" if wanted is list else "names with values are wanted"
        )
        yield f"{path}: {type(value).__name__} is no {wanted.__name__}; {fix}"
        return
    members = value.items() if wanted is dict else enumerate(value)
    for name, each in members:
        place = f"{path}.{name}" if wanted is dict else f"{path}[{name}]"
        yield from _of_value(each, item, place)


def _fix(value: Any, wanted: type) -> str:
    kind, name = type(value).__name__, wanted.__name__
    if isinstance(value, datetime):
        return "a datetime is no int; time_fields(it) gives timestamp and ms"
    if hasattr(value, "model_dump"):
        return f"{kind} is no {name}; it is a pydantic model: .to_struct() its message"
    if isinstance(value, dict) or issubclass(wanted, msgspec.Struct):
        return f"{kind} is no {name}; build egiz_schema.{name}(...)"
    if isinstance(value, Enum):
        return f"{kind} is no {name}; its .value may be one"
    if isinstance(value, bytes | bytearray):
        return f"{kind} is no {name}; .decode() makes a str"
    return f"{kind} is no {name}; {name}(...) makes one"
