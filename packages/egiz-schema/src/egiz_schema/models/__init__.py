"""The messages as pydantic models (extra ``[pydantic]``): for APIs and for tools.

The same annotated types and the same rules as `egiz_schema.messages`, and slower; in
exchange, `problems` names everything that is wrong with a payload at once. A model is
strict, as a writer must be: `decode` forgives a wrong reading as `egiz_schema.decode`
does, `Telemetry.model_validate` does not.

A model ignores unknown members, as a reader must. One for the body of a request may
refuse them, ``class Body(Config, extra="forbid")``, or keep them, ``extra="allow"``:
so do all its parts, then.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from egiz_schema import codec, wire
from egiz_schema.address import Topic, parse_topic
from egiz_schema.errors import DecodeError, InvalidPayload, explain
from egiz_schema.limits import TIMESTAMP_S
from egiz_schema.models.base import READER
from egiz_schema.models.errors import Fault, in_order, position
from egiz_schema.models.generated import (
    Alert,
    AppliedConfig,
    Channel,
    Command,
    CommandResult,
    Config,
    CurrentPhases,
    Electrical,
    EnergyPhases,
    Firmware,
    Health,
    Message,
    Ota,
    PowerPhases,
    RefusedConfig,
    Status,
    Telemetry,
    Thermal,
    VoltagePhases,
)
from egiz_schema.models.repair import dropped_of, overlong, slots_of, without
from egiz_schema.repair import FRAME, Dropped, integral
from egiz_schema.topics import DEVICE_ID_MAX, DEVICE_ID_MIN
from egiz_schema.types import is_text

__all__ = [
    "MODELS",
    "Alert",
    "AppliedConfig",
    "Channel",
    "Command",
    "CommandResult",
    "Config",
    "CurrentPhases",
    "Electrical",
    "EnergyPhases",
    "Firmware",
    "Health",
    "Message",
    "Ota",
    "PowerPhases",
    "RefusedConfig",
    "Status",
    "Telemetry",
    "Thermal",
    "VoltagePhases",
    "decode",
    "decode_with_dropped",
    "problems",
    "problems_in",
    "unknown_members",
]

MODELS: dict[str, type[Message]] = {
    "telemetry": Telemetry,
    "status": Status,
    "config": Config,
    "command": Command,
}


def decode(topic: Topic | str, payload: wire.Payload) -> Message:
    """`egiz_schema.decode`, with pydantic: the same verdict, the same reason.

    Raises:
        TopicError: the topic is not one of the contract's.
        DecodeError: of `problems` that are not forgiven, the first.
    """
    return decode_with_dropped(topic, payload)[0]


def decode_with_dropped(
    topic: Topic | str, payload: wire.Payload
) -> tuple[Message, tuple[Dropped, ...]]:
    """`egiz_schema.decode_with_dropped`, with pydantic: the same paths, too.

    Raises:
        EgizError: as `decode` does.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    document = _document(payload)
    message, faults = _validated(topic, document)
    if not faults:
        assert message is not None  # or there would be a fault
        return message, ()
    if topic.kind not in codec.FORGIVEN or not isinstance(document, dict):
        raise faults[0].error
    return _forgiven(topic, document, faults)


def problems(topic: Topic | str, payload: wire.Payload) -> list[DecodeError]:
    """Everything that is wrong with a payload, in the order in which it is read.

    What `decode` forgives is here, too: a writer should not need that.

    Raises:
        TopicError: the topic is not one of the contract's.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    try:
        document = _document(payload)
    except DecodeError as error:
        return [error]
    faults = _validated(topic, document)[1]
    if isinstance(document, dict):
        early = _too_early(document) if topic.kind in codec.FORGIVEN else []
        faults = sorted(
            {fault.place: fault for fault in [*early, *faults]}.values(),
            key=lambda fault: (
                fault.error.reason == "device_mismatch",  # found when all is right
                position(fault.place, document),
            ),
        )
    return [fault.error for fault in faults]


def problems_in(
    details: Iterable[ErrorDetails | dict[str, Any]], document: Any
) -> list[DecodeError]:
    """The errors of pydantic with path and reason of the contract, as `problems` does.

    Args:
        details: ``errors()`` of a `ValidationError`, or of FastAPI's
            `RequestValidationError` for its one body.
        document: what was validated; FastAPI has it as ``body``.

    An unknown member that a model forbids has the reason ``type``.
    """
    found = []
    for detail in details:
        place = detail["loc"][1:] if detail["loc"][:1] == ("body",) else detail["loc"]
        found.append(cast("ErrorDetails", {**detail, "loc": place}))
    return [fault.error for fault in in_order(found, document, [])]


def unknown_members(model: BaseModel) -> tuple[str, ...]:
    """What a model with ``extra="allow"`` has kept, as ``$.electrical.thd``.

    `egiz_schema.unknown_fields` says it of a payload.
    """
    return tuple(_unknown(model, "$"))


def _unknown(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _unknown(each, f"{path}.{name}")
    if not isinstance(value, BaseModel):
        return
    for name in type(value).model_fields:
        yield from _unknown(getattr(value, name), f"{path}.{name}")
    yield from (f"{path}.{name}" for name in value.model_extra or {})


def _document(payload: wire.Payload) -> Any:
    document = wire.parse(wire.as_bytes(payload))
    codec.check_version(document)
    return document


def _too_early(document: dict[str, Any]) -> list[Fault]:
    """A time before 2020, which a model looks at when all else is right."""
    timestamp = integral(document.get("timestamp"))
    groups = [document.get(name) for name in ("status", "health")]
    is_unset = any(
        isinstance(g, dict) and g.get("time_synced") is False for g in groups
    )
    if type(timestamp) is int and timestamp < TIMESTAMP_S[0] and not is_unset:
        return [Fault(("timestamp",), codec.too_early())]
    return []


def _validated(topic: Topic, document: Any) -> tuple[Message | None, list[Fault]]:
    model = MODELS[topic.kind]
    others = _of_another_device(topic, document)
    if others:  # which is found when all else is right
        document = document | {"device_id": topic.device_id}
    try:
        message = model.model_validate(document, context=READER)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, in_order(details, document, overlong(model, document)) + others
    return (None, others) if others else (message, [])


def _of_another_device(topic: Topic, document: Any) -> list[Fault]:
    found = document.get("device_id") if isinstance(document, dict) else None
    span = range(DEVICE_ID_MIN, DEVICE_ID_MAX + 1)
    if not isinstance(found, str) or len(found) not in span or not is_text(found):
        return []
    if found == topic.device_id:
        return []
    return [Fault(("device_id",), codec.mismatch(topic))]


def _forgiven(
    topic: Topic, document: dict[str, Any], faults: list[Fault]
) -> tuple[Message, tuple[Dropped, ...]]:
    """What is left once all readings that are wrong are absent."""
    readings = [fault for fault in faults if fault.error.reason != "device_mismatch"]
    for place, error in readings:
        if not place or place[0] in FRAME:
            raise error
    slots = slots_of(MODELS[topic.kind], readings)
    left = without(document, {slot.place: slot.becomes for slot in slots})
    dropped = dropped_of(slots, document)
    message, faults = _validated(topic, left)
    if message is not None:
        return message, dropped
    error = faults[0].error
    if error.reason != "empty" or not dropped:
        raise error
    path, reason = dropped[0]
    raise InvalidPayload(explain(reason), reason, path)
