"""The errors that pydantic finds, as the errors of the contract."""

from math import inf
from sys import float_info
from typing import Any

from pydantic_core import ErrorDetails

from egiz_schema.errors import DecodeError, InvalidPayload

# pydantic names dozens of kinds; the contract's other reasons are not of one field.
_OUT_OF_RANGE = frozenset(
    {
        "finite_number",
        "greater_than_equal",
        "less_than_equal",
        "string_too_long",
        "string_too_short",
        "too_long",
        "too_short",
    }
)


# In a place: the name itself of a member that people named, not its value.
_NAME = -1


def in_order(details: list[ErrorDetails], document: Any) -> list[DecodeError]:
    """The errors as msgspec would meet them: it stops at the first that it reads.

    Args:
        details: of a `pydantic.ValidationError`.
        document: what was validated.
    """
    found: dict[tuple[int | str, ...], InvalidPayload] = {}
    for detail in details:
        place, value = _place(detail["loc"], document)
        reason = _reason(detail["type"], value)
        # Each type of a union has an error of its own; it was one of the right type.
        if place not in found or reason == "range":
            found[place] = InvalidPayload(detail["msg"], reason, _path(place))
    order = sorted(found, key=lambda place: _position(place, document))
    return [found[place] for place in order]


def _reason(kind: str, value: Any) -> str:
    if kind == "missing":
        return "missing"
    # Too large for a number is reported before the type that was expected.
    is_huge = isinstance(value, int | float) and abs(value) > float_info.max
    return "range" if is_huge or kind in _OUT_OF_RANGE else "type"


def _place(
    loc: tuple[int | str, ...], document: Any
) -> tuple[tuple[int | str, ...], Any]:
    """The part of `loc` that is in the document, or the member that is missing."""
    place: list[int | str] = []
    for step in loc:
        if step == "[key]" and len(place) > 1:  # pydantic's word, within a map
            place.append(_NAME)
        elif isinstance(document, dict) and isinstance(step, str):
            place.append(step)
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int):
            place.append(step)
            document = document[step]
    return tuple(place), document


def _position(place: tuple[int | str, ...], document: Any) -> list[float]:
    """Where in the text it is; a member that is missing is found so at the end."""
    position: list[float] = []
    for step in place:
        if step == _NAME:
            return [*position, _NAME]
        members = list(document if isinstance(document, dict) else range(len(document)))
        if step not in members:
            return [*position, inf]
        position.append(members.index(step))
        document = document[step]
    # That of a whole is seen after those of its parts.
    return [*position, inf]


def _path(place: tuple[int | str, ...]) -> str:
    return "$" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}"
        for step in place
        if step != _NAME
    )
