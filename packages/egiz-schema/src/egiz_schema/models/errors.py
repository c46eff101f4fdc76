"""The errors that pydantic finds, as the errors of the contract."""

from math import inf
from sys import float_info
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from egiz_schema.errors import DecodeError, InvalidPayload

# pydantic names dozens of kinds; these are the contract's reasons already.
_REASONS = frozenset({"charset", "empty", "missing", "range"})
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
NAME = -1

Place = tuple[int | str, ...]  # ("thermal", "temperature_zones", 1)


class Fault(NamedTuple):
    """What is wrong at a place of a document."""

    place: Place
    error: DecodeError


def in_order(
    details: list[ErrorDetails], document: Any, overlong: list[Fault]
) -> list[Fault]:
    """The errors as msgspec would meet them: it stops at the first that it reads.

    Args:
        details: of a `pydantic.ValidationError`.
        document: what was validated.
        overlong: what pydantic may not have found (`repair.overlong`).
    """
    found: dict[Place, DecodeError] = dict(overlong)
    for detail in details:
        place, value = _place(detail, document)
        reason = _reason(detail["type"], value)
        # Each type of a union has an error of its own; it was one of the right type.
        if place not in found or reason == "range":
            found[place] = InvalidPayload(detail["msg"], reason, path_of(place))
    long = {place for place, _ in overlong}  # which is seen before its items
    order = sorted(
        found,
        key=lambda place: position(place, document)[: -1 if place in long else None],
    )
    return [Fault(place, found[place]) for place in order]


def _reason(kind: str, value: Any) -> str:
    if kind in _REASONS:
        return kind
    if kind == "bad_device_id":  # so it is not that of the topic
        return "device_mismatch"
    # Too large for a number is reported before the type that was expected.
    is_huge = isinstance(value, int | float) and abs(value) > float_info.max
    return "range" if is_huge or kind in _OUT_OF_RANGE else "type"


def _place(detail: ErrorDetails, document: Any) -> tuple[Place, Any]:
    """The part of `loc` that is in the document, or the member that is missing."""
    place: list[int | str] = []
    for step in detail["loc"]:
        if step == "[key]" and len(place) > 1:  # pydantic's word, within a map
            place.append(NAME)
        elif place[:1] == ["args"] and len(place) > 1:
            break  # the next step names a type of the union
        elif isinstance(document, dict) and isinstance(step, str):
            # A step that is not there is missing, or names a type of a union.
            if step in document or detail["type"] == "missing":
                place.append(step)
                document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int):
            place.append(step)
            document = document[step]
    return tuple(place), document


def position(place: Place, document: Any) -> list[float]:
    """Where in the text it is; a member that is missing is found so at the end."""
    position: list[float] = []
    for step in place:
        if step == NAME:
            return [*position, NAME]
        members = list(document if isinstance(document, dict) else range(len(document)))
        if step not in members:
            return [*position, inf]
        position.append(members.index(step))
        document = document[step]
    # That of a whole is seen after those of its parts.
    return [*position, inf]


def path_of(place: Place) -> str:
    """The place as ``$.thermal.temperature_zones[1]``."""
    if place[-1:] == (NAME,):
        return f"{path_of(place[:-2])}<key>"
    return "$" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in place
    )
