"""What the pydantic models have in common: see `egiz_schema.models`.

The models themselves are generated from the structs, and hold the types of
`egiz_schema.types`. Here is what no type says.
"""

from functools import cache
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

from egiz_schema.errors import explain
from egiz_schema.limits import TIMESTAMP_S
from egiz_schema.repair import FRAME, integral, says_something


class Part(BaseModel):
    """Strict, as JSON is; ignores unknown fields; never shows input in an error."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

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

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, members: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        message = validate(members)
        _refuse_set_clock(message, "status")
        if isinstance(members, dict) and not any(
            says_something(value)
            for name, value in members.items()
            if name not in FRAME
        ):
            raise PydanticCustomError("empty", "{rule}", {"rule": explain("empty")})
        return message


class StatusPart(Part):
    """A status has a time that is known, or none."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _refuse_set_clock(self, "health")
        return self


def _refuse_set_clock(message: Any, health: str) -> None:
    group = getattr(message, health)
    is_unset = group is not None and group.time_synced is False
    if (
        message.timestamp is not None
        and message.timestamp < TIMESTAMP_S[0]
        and not is_unset
    ):
        raise PydanticCustomError(
            "too_early", "a time before 2020, and time_synced is not false"
        )


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
