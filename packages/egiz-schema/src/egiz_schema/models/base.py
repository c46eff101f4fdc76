"""What the pydantic models have in common: see `egiz_schema.models`.

The models themselves are generated from the structs, and hold the types of
`egiz_schema.types`. Here is what no type says.
"""

from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args, get_origin

import msgspec
from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from egiz_schema.codec import READINGS, too_early
from egiz_schema.errors import EncodeError, explain
from egiz_schema.limits import TIMESTAMP_S
from egiz_schema.models import extra
from egiz_schema.msgspec_errors import reason_of
from egiz_schema.repair import FRAME, integral, says_something

# The context of a message that a reader has accepted: it may hold only what is new.
_ACCEPTED = {"egiz_schema": "accepted"}
# The context of a reader: what it does not know may be all that a newer writer says.
# A writer says nothing by it.
READER = {"egiz_schema": "reader"}

_FRAME = FRAME - {"state"}  # which telemetry does not have

_S = TypeVar("_S", bound=msgspec.Struct)


class Part(BaseModel):
    """Strict, as JSON is; ignores unknown fields; never shows input in an error.

    A subclass with ``extra="forbid"`` or ``extra="allow"`` is so in all its parts.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        serialize_by_alias=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        extra.apply(cls, Part)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        _describe(cls, handler.resolve_ref_schema(schema))
        return schema

    @model_validator(mode="before")
    @classmethod
    def _integers(cls, members: Any) -> Any:
        """Read 86400.0 as 86400 where an integer is wanted, as JSON Schema does."""
        if not isinstance(members, dict):
            return members
        integers = _integers_of(cls)
        return {
            name: _integral(value) if name in integers else value
            for name, value in members.items()
        }


class TelemetryPart(Part):
    """Telemetry measures something, at a time that is known."""

    _health: ClassVar = "status"

    @model_validator(mode="wrap")
    @classmethod
    def _checked(
        cls,
        members: Any,
        validate: ModelWrapValidatorHandler[Self],
        info: ValidationInfo,
    ) -> Self:
        message = validate(members)
        _refuse_set_clock(message, cls._health)
        says = _says_something(message, members if info.context is READER else {})
        if not says and info.context is not _ACCEPTED:
            raise PydanticCustomError("empty", "{rule}", {"rule": explain("empty")})
        return message


class StatusPart(Part):
    """A status has a time that is known, or none."""

    _health: ClassVar = "health"

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _refuse_set_clock(self, self._health)
        return self


def members_of(struct: msgspec.Struct) -> dict[str, Any]:
    """The members of a struct, as the arguments of `model_validate`."""
    return {"obj": msgspec.to_builtins(struct), "context": _ACCEPTED}


def struct_of(model: BaseModel, struct: type[_S]) -> _S:
    """The struct with the members of a model."""
    members = model.model_dump(by_alias=True, exclude_none=False)
    try:
        return msgspec.convert(members, struct)
    except msgspec.ValidationError as error:  # of a copy, which pydantic does not check
        raise EncodeError(str(error), reason_of(error)) from None


def _says_something(message: BaseModel, members: Any) -> bool:
    """Whether the message has a reading, or the members have anything to say."""
    others = members.items() if isinstance(members, dict) else ()
    return says_something(message.model_dump(include=set(READINGS))) or any(
        says_something(value) for name, value in others if name not in _FRAME
    )


def _refuse_set_clock(message: Any, health: str) -> None:
    group = getattr(message, health)
    is_unset = group is not None and group.time_synced is False
    timestamp = message.timestamp
    if timestamp is None or timestamp >= TIMESTAMP_S[0] or is_unset:
        return
    error = PydanticCustomError("range", "{rule}", {"rule": str(too_early())})
    details = InitErrorDetails(type=error, loc=("timestamp",), input=timestamp)
    raise ValidationError.from_exception_data(type(message).__name__, [details])


def _describe(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """Say what `egiz_schema.documents.json_schema` says of the same struct."""
    from egiz_schema.documents import json_schema  # noqa: PLC0415  # for who asks

    struct = next(
        each for each in model.__mro__ if "models.generated" in each.__module__
    )
    for member in schema["properties"].values():
        member.pop("title", None)
        _close_names(json_schema.present(member))
    json_schema.describe(struct.__name__, schema)
    if health := getattr(model, "_health", None):
        schema |= json_schema.time_with_a_clock(health)


def _close_names(schema: dict[str, Any]) -> None:
    """Let no name but those of the pattern be in a map; pydantic says no such thing."""
    if "patternProperties" in schema:
        ((pattern, values),) = schema.pop("patternProperties").items()
        schema["additionalProperties"] = values
        schema["propertyNames"] = {"pattern": pattern} | schema["propertyNames"]


@cache
def _integers_of(model: type[BaseModel]) -> frozenset[str]:
    """The members that are integers, or maps of integers."""
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if _is_integer(field.annotation)
    )


def _is_integer(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_integer(get_args(annotation)[0])
    if get_origin(annotation) is dict:
        return _is_integer(get_args(annotation)[1])
    choices = [each for each in get_args(annotation) if each is not type(None)]
    return annotation is int or (len(choices) == 1 and _is_integer(choices[0]))


def _integral(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _integral(each) for name, each in value.items()}
    return integral(value)
