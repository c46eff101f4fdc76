"""What a model does with unknown members, in all its parts: see `egiz_schema.models`.

pydantic asks each model for itself: ``class Body(Config, extra="forbid")`` would refuse
an unknown member of the message, and ignore one of a group in it. So such a class gets
groups of its own, which are as strict as it is.
"""

from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, create_model


def apply(model: type[BaseModel], part: type[BaseModel]) -> None:
    """Let the parts of a new model do with unknown members what it does.

    Args:
        model: a subclass of `part`, which pydantic has just made.
        part: the base of all models of the contract.
    """
    base = next(each for each in model.__mro__[1:] if issubclass(each, BaseModel))
    if model.model_config.get("extra") == base.model_config.get("extra"):
        return
    for field in model.model_fields.values():
        field.annotation = _with_parts(field.annotation, model, part)
    model.model_rebuild(force=True)


def _with_parts(annotation: Any, owner: type[BaseModel], part: type[BaseModel]) -> Any:
    """The same type, with parts of the owner's own."""
    if isinstance(annotation, type) and issubclass(annotation, part):
        return _own(annotation, owner)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_with_parts(args[0], owner, part), *args[1:]]
    if origin in {Union, UnionType}:
        return reduce(or_, [_with_parts(each, owner, part) for each in args])
    if origin in {dict, list}:
        return origin[tuple(_with_parts(each, owner, part) for each in args)]
    return annotation


def _own(part: type[BaseModel], owner: type[BaseModel]) -> type[BaseModel]:
    return create_model(
        f"{owner.__name__}{part.__name__}",
        __base__=part,
        __doc__=part.__doc__,
        __module__=owner.__module__,
        __cls_kwargs__={"extra": owner.model_config.get("extra")},
    )
