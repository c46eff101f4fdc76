"""A topic as a value: what `topics.py` is to the device, `Topic` is to a service."""

from typing import Literal, cast

import msgspec

from egiz_schema import topics
from egiz_schema.cache import cached_by_topic
from egiz_schema.errors import TopicError, explain

Kind = Literal["telemetry", "status", "config", "command"]


class Topic(msgspec.Struct, frozen=True, gc=False):
    """A valid topic; ``str()`` gives what is published to.

    Raises:
        TopicError: if the three do not make a topic of the contract.
    """

    facility: str
    device_id: str
    kind: Kind

    def __post_init__(self) -> None:
        try:
            topics.join_topic(self.facility, self.device_id, self.kind)
        except ValueError as error:
            raise _error(
                f"{self.facility}/{self.device_id}/{self.kind}", error
            ) from None

    def __str__(self) -> str:
        return f"{topics.ROOT}/{self.facility}/{self.device_id}/{self.kind}"

    @property
    def device_type(self) -> str:
        """What kind of machine: ``heat-pump`` of ``heat-pump-01``."""
        return topics.split_device_id(self.device_id)[0]

    @property
    def unit(self) -> str:
        """Which of them: ``01`` of ``heat-pump-01``."""
        return topics.split_device_id(self.device_id)[1]


@cached_by_topic
def parse_topic(topic: str) -> Topic:
    """Take a topic apart.

    Raises:
        TopicError: if it is not one of the contract's topics.
        TypeError: it is no text.
    """
    if not isinstance(topic, str):
        raise TypeError(
            f"a topic is a text, not {type(topic).__name__}; bytes need .decode()"
        )
    try:
        facility, device_id, kind = topics.split_topic(topic)
    except ValueError as error:
        raise _error(topic, error) from None
    return Topic(facility, device_id, cast("Kind", kind))


def subscription(
    facility: str | None = None, device_id: str | None = None, kind: Kind | None = None
) -> str:
    """The filter to subscribe to; what is not given is any.

    >>> subscription(kind="telemetry")
    'sensors/+/+/telemetry'

    Raises:
        TopicError: what is given is in no topic of the contract.
    """
    Topic(
        "a" if facility is None else facility,
        "a-b" if device_id is None else device_id,
        "telemetry" if kind is None else kind,
    )
    levels = [topics.ROOT, facility, device_id, kind]
    return "/".join(["+" if level is None else level for level in levels])


def _error(topic: str, error: ValueError) -> TopicError:
    reason = str(error)
    return TopicError(f"{topic[:120]!r}: {explain(reason)}", reason)
