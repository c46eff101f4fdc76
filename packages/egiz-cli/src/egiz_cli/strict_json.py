"""JSON that a person writes: what a device would take without a word is refused."""

import json
from typing import Any


class TwiceError(Exception):
    """A member that has two values; args[0] is its name, quoted."""


def loads(text: str | bytes) -> Any:
    """The value of a document.

    Raises:
        TwiceError: an object has a member twice.
        ValueError: it is no JSON; nor are NaN and Infinity, which Python accepts.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)


def _once(members: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in members:
        if name in found:
            raise TwiceError(ascii(name))
        found[name] = value
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number of JSON")
