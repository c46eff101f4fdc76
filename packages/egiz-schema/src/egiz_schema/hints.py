"""What to do about what is often wrong: the second half of an error's sentence.

Each gives nothing, or words that begin with what joins them to a sentence. None quotes
a value. They are asked once something is wrong, and their work is bounded.
"""

import re
from binascii import a2b_base64
from collections.abc import Iterable
from typing import Any

from egiz_schema import limits

_OBJECT = 'a payload is one JSON object, as {"device_id":"oven-001",...}'
# What stands where JSON was expected, and what to do about it.
_FOUND = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        ("\0", "a NUL byte follows the JSON; send strlen(payload) bytes"),
        ("'", "JSON has double quotes, not single ones"),
        ("[-+]?(nan|inf)", "JSON has no NaN and no infinity; leave the member out"),
        ("(True|False|None)\\b", "JSON writes true, false and null"),
        ("//|/\\*|#", "JSON has no comments"),
        ("0\\d|[+.]\\d", "JSON writes a number as 0.5, 5 or -5"),
    )
)
_TRAILING_COMMA = re.compile(r",\s*[}\]]")
_HEX = re.compile(r"(?:0x)?7b(?:[0-9a-f]{2}|\s)*", re.IGNORECASE)  # 7b is {
_BASE64 = re.compile(r"e[wy3][A-Za-z0-9+/=\s]+")
_UNITS = (
    ("milliseconds", 1_000, "; the rest goes into ms"),
    ("microseconds", 1_000_000, ""),
    ("nanoseconds", 1_000_000_000, ""),
)
_NAMES_MAX = 8
_NAME_MAX = 24


def of_json(text: str, at: int) -> str:
    """About a text that stops to be JSON at a character."""
    found = _of_whole(text) or _of_place(text, at)
    return f": {found}" if found else ""


def _of_whole(text: str) -> str:
    """About what is no JSON at all."""
    if text.startswith("\ufeff"):
        return "a byte order mark comes first; send UTF-8 without it"
    if _HEX.fullmatch(text):
        return "these are hexadecimal digits of JSON; send its bytes"
    if _BASE64.fullmatch(text) and _is_object(text):
        return "this is JSON as base64; send its bytes"
    if text.lstrip()[:1] not in {"{", "[", '"'}:
        return _OBJECT
    return ""


def _is_object(text: str) -> bool:
    try:
        return a2b_base64(text[:4]).startswith(b"{")
    except ValueError:
        return False


def _of_place(text: str, at: int) -> str:
    rest = text[at:]
    for pattern, found in _FOUND:
        if pattern.match(rest):
            return found
    # One Python stops at the comma, another at what follows.
    comma = text.rfind(",", 0, at + 1)
    if comma >= 0 and (closing := _TRAILING_COMMA.match(text, comma)):
        return "a comma comes before a member only" if closing.end() > at else ""
    if rest[:1] in {"{", "["} and text[:at].rstrip()[-1:] in {"}", "]"}:
        return "a second JSON follows; publish each message by itself"
    return "" if rest.strip() else "it ends too early; a buffer may have cut it"


def of_root(document: Any) -> str:
    """About a document that is no object."""
    if isinstance(document, str) and document.lstrip().startswith("{"):
        return "; this is a text that holds JSON: it was encoded twice"
    if isinstance(document, list):
        return "; this is a list: publish each message by itself"
    return f"; {_OBJECT}"


def of_time(value: object) -> str:
    """About what is no time in seconds."""
    if isinstance(value, str):
        return "; a time is whole seconds since 1970, as 1706352600"
    if not isinstance(value, int | float):
        return ""
    first, last = limits.TIMESTAMP_S
    if isinstance(value, float) and first <= value <= last:
        return "; a time is whole seconds, and ms is what is left"
    for unit, factor, rest in _UNITS:
        if first <= value // factor <= last:
            return f"; is this {unit}? divide by {factor}{rest}"
    return ""


def of_missing(name: str, members: Iterable[str]) -> str:
    """About a member that is missing beside these, which are unknown."""
    from difflib import get_close_matches  # noqa: PLC0415  # an import takes as long

    likely = [
        each for each in members if len(each) <= _NAME_MAX and each.isidentifier()
    ]
    for close in get_close_matches(name, likely[:_NAMES_MAX], 1):
        return f"; is {close} meant to be {name}?"
    return ""
