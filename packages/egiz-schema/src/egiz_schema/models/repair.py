"""A document without what pydantic found wrong: see `egiz_schema.repair`.

That module reads the structs, this one the models, so that each holds the other to the
rule: the smallest part that may be absent becomes so.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel

from egiz_schema.errors import InvalidPayload, explain
from egiz_schema.models.errors import NAME, Fault, Place, path_of, position
from egiz_schema.repair import DEFINING, Dropped

_DELETED = object()


class Slot(NamedTuple):
    """A part that is dropped.

    Attributes:
        place: where it is; the name of a member ends with `NAME`.
        becomes: null, or nothing.
    """

    place: Place
    becomes: object


def overlong(model: type[BaseModel], document: Any) -> list[Fault]:
    """Lists and maps with more items than they may have.

    pydantic counts the items that are right only.
    """
    return list(_overlong(model, document, ()))


def slots_of(model: type[BaseModel], faults: list[Fault]) -> dict[Slot, str]:
    """What is dropped for these faults, and the reason of each."""
    slots: dict[Slot, str] = {}
    for place, error in faults:
        slots.setdefault(_slot(model, place), error.reason)
    # A name is read before its value, and a whole says more than its parts.
    named = {slot.place[:-1] for slot in slots if slot.place[-1] == NAME}
    places = {slot.place for slot in slots if slot.place not in named}
    return {
        slot: reason
        for slot, reason in slots.items()
        if slot.place in places and not _is_within(slot.place, places | named)
    }


def _is_within(place: Place, others: set[Place]) -> bool:
    outer = place[:-1] if place[-1] == NAME else place
    return any(outer[:end] in others for end in range(1, len(outer)))


def dropped_of(slots: dict[Slot, str], document: Any) -> tuple[Dropped, ...]:
    """The same as a reader says it, in the order of the document."""
    order = sorted(slots, key=lambda slot: position(slot.place, document))
    return tuple(Dropped(path_of(slot.place), slots[slot]) for slot in order)


def without(document: Any, places: dict[Place, object], place: Place = ()) -> Any:
    """A copy of the document without what is at `places`."""
    if place in places:
        return places[place]
    if isinstance(document, dict):
        kept = {
            name: without(value, places, (*place, name))
            for name, value in document.items()
            if (*place, name, NAME) not in places
        }
        return {name: value for name, value in kept.items() if value is not _DELETED}
    if isinstance(document, list):
        items = [
            without(item, places, (*place, index))
            for index, item in enumerate(document)
        ]
        return [item for item in items if item is not _DELETED]
    return document


def _slot(model: type[BaseModel], place: Place) -> Slot:
    """The smallest part around a fault that may be absent."""
    annotation: Any = model
    slot = Slot((), _DELETED)
    for end, step in enumerate(place, 1):
        bare = _bare(annotation)
        if step == NAME or get_origin(bare) is dict:
            slot = Slot(place[:end], _DELETED)
            annotation = get_args(bare)[1] if step != NAME else None
        elif get_origin(bare) is list:
            (annotation,) = get_args(bare)
            may_be_null = type(None) in get_args(annotation)
            slot = Slot(place[:end], None if may_be_null else _DELETED)
        else:
            field = _field(bare, str(step))
            is_defining = any((c.__name__, step) in DEFINING for c in bare.__mro__)
            if not field.is_required() and not is_defining:
                slot = Slot(place[:end], _DELETED)
            annotation = field.annotation
    return slot


def _field(model: Any, name: str) -> Any:
    for called, field in model.model_fields.items():
        if name in {called, field.alias}:
            return field
    raise KeyError(name)  # pydantic reports no place that is not in the model


def _bare(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if type(None) in get_args(annotation):
        (choice,) = (each for each in get_args(annotation) if each is not type(None))
        return _bare(choice)
    return annotation


def _overlong(model: Any, document: Any, place: Place) -> Iterator[Fault]:
    if not isinstance(document, dict):
        return
    for name, value in document.items():
        try:
            field = _field(model, name)
        except KeyError:
            continue
        here, bare = (*place, name), _bare(field.annotation)
        if isinstance(bare, type) and issubclass(bare, BaseModel):
            yield from _overlong(bare, value, here)
        elif type(value) is get_origin(bare) and len(value) > _most(field, bare):
            error = InvalidPayload(explain("range"), "range", path_of(here))
            yield Fault(here, error)


def _most(field: Any, bare: Any) -> float:
    if get_origin(bare) not in {list, dict}:
        return float("inf")
    metadata = [*field.metadata, *_metadata(field.annotation)]
    found = [
        each.max_length
        for group in metadata
        for each in (group if isinstance(group, at.GroupedMetadata) else [group])
        if isinstance(each, at.MaxLen)
    ]
    return min(found, default=float("inf"))


def _metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return list(get_args(annotation)[1:])
    return [each for choice in get_args(annotation) for each in _metadata(choice)]
