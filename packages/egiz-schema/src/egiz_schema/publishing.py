"""What a service or a device publishes, ready for an MQTT client.

>>> will = last_will("oven-001", boot=3)
>>> publication("factory", will)[0]
'sensors/factory/oven-001/status'
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, cast
from uuid import uuid4

import msgspec

from egiz_schema import limits, orders
from egiz_schema.address import Kind, Topic
from egiz_schema.codec import encode, kind_of
from egiz_schema.delivery import delivery_of
from egiz_schema.errors import EncodeError
from egiz_schema.messages import Channel, Command, Config, Message, Status
from egiz_schema.times import time_fields

Argument = str | int | float | bool


class Publication(NamedTuple):
    """The arguments of paho's ``publish`` and ``will_set``, in their order."""

    topic: str
    payload: bytes
    qos: Literal[0, 1, 2]
    retain: bool


def topic_of(facility: str, message: Message) -> Topic:
    """Where a message is published.

    Raises:
        TopicError: the facility or the message's device id makes no topic.
        EncodeError: it is no message, but a dict, for example.
    """
    kind = cast("Kind", kind_of(message))
    return Topic(facility, message.device_id, kind)


def publication(facility: str, message: Message) -> Publication:
    """How a message is published: ``client.publish(*publication("bakery", message))``.

    Telemetry that was buffered is not retained: it is not the current state.

    Raises:
        TopicError: the facility or the message's device id makes no topic.
        EncodeError: the message breaks the contract.
    """
    payload = encode(message)
    topic = topic_of(facility, message)
    delivery = delivery_of(topic.kind)
    retain = delivery.retain and not getattr(message, "buffered", False)
    return Publication(str(topic), payload, delivery.qos, retain)


def new_command(
    device_id: str,
    action: str,
    args: Mapping[str, Argument] | None = None,
    *,
    expires_in: timedelta = timedelta(minutes=1),
) -> Command:
    """A command with an id of its own: a device refuses one that it has seen.

    Args:
        device_id: who is to obey.
        action: of `orders.ACTIONS`, or one that newer firmware knows.
        args: of the action; ``confirm`` is the device id if the action is dangerous.
        expires_in: after this the device refuses it, by its own clock.

    Raises:
        EncodeError: the arguments are not those of the action.
        ValueError: it would have expired already.
    """
    if expires_in <= timedelta():
        raise ValueError("expires_in must be more than 0")
    if action in orders.ACTIONS:
        try:
            orders.check_arguments(action, dict(args or {}), device_id)
        except ValueError as error:
            reason, sentence = error.args
            raise EncodeError(f"{action}: {sentence}", reason) from None
    return Command(
        device_id=device_id,
        id=uuid4().hex,
        action=action,
        args=dict(args) if args else None,
        expires_at=time_fields(datetime.now(UTC) + expires_in)["timestamp"],
    )


def next_config(config: Config, **changes: Any) -> Config:
    """A configuration with changes, and the `rev` that follows.

    >>> next_config(Config(device_id="oven-001", rev=7), publish_rate_ms=5000).rev
    8

    Raises:
        TypeError: there is no such member.
    """
    rev = 1 if config.rev is None else config.rev + 1
    return msgspec.structs.replace(config, **{"rev": rev, **changes})


def birth(
    device_id: str,
    boot: int,
    *,
    firmware_version: str | None = None,
    sensors: list[str] | None = None,
    can: list[str] | None = None,
    channels: dict[str, Channel] | None = None,
) -> Status:
    """What a device publishes after each connect, before its telemetry; made now."""
    return Status(
        device_id=device_id,
        state="online",
        boot=boot,
        schema=str(limits.WIRE_VERSION),
        firmware_version=firmware_version,
        sensors=sensors or [],
        can=can or [],
        channels=channels,
        **time_fields(datetime.now(UTC)),
    )


def last_will(device_id: str, boot: int | None = None) -> Status:
    """What the broker publishes for a device that vanished: it has no time.

    `boot` lets a reader see that a will is of an earlier start than a birth.
    """
    return Status(device_id=device_id, state="offline", boot=boot)
