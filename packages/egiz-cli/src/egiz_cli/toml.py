"""TOML that a person writes, within bounds."""

import tomllib
from typing import Any

_DOTS_MAX = 300  # in a line: some ninety addresses


def loads(text: str) -> dict[str, Any]:
    """The tables of a document.

    Raises:
        ValueError: it is no TOML, or a line has so many dots that its key might take
            seconds to read, or minutes: a parser needs the square of its parts.
        RecursionError: it is nested too deeply.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _DOTS_MAX and not line.lstrip().startswith("#"):
            raise ValueError(f"line {number}: more than {_DOTS_MAX} dots; divide it")
    return tomllib.loads(text)
