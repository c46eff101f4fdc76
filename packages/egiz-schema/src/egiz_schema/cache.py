"""`functools.lru_cache` with the signature that it hides from type checkers."""

from collections.abc import Callable
from functools import lru_cache
from typing import ParamSpec, TypeVar, cast

_P = ParamSpec("_P")
_R = TypeVar("_R")

# A factory has few topics and many messages. The bound keeps a flood of invented
# topics from growing the process.
_TOPICS_MAX = 65536


def cached_by_topic(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Keep what `function` gave for a topic."""
    return cast("Callable[_P, _R]", lru_cache(_TOPICS_MAX)(function))
