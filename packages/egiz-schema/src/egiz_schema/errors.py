"""The errors of the contract.

    EgizError
    ├── TopicError     not a topic of the contract
    ├── DecodeError    not a payload of the contract
    │   ├── MalformedPayload   not JSON of an acceptable size
    │   └── InvalidPayload     JSON, but not this message
    └── EncodeError    a message that must not be sent

Every one is also a ``ValueError`` and has a machine-readable `reason`: the same string
is the metric label, the dead letter's reason and the test vector's reason. None carries
the payload's text, so logging one leaks nothing.
"""

import re

from egiz_schema import limits, topics


class EgizError(Exception):
    """Base of every error this package raises.

    Attributes:
        reason: a short code, stable within a major version.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["EgizError"], tuple[str, ...]]:
        # Python would build it again of the message alone, when a process pool
        # gives it back.
        return type(self), (str(self), *self.__dict__.values())


class TopicError(EgizError, ValueError):
    """Not a topic of the contract.

    `reason` is one of ``wrong_root``, ``wrong_levels``, ``bad_facility``,
    ``bad_device_id``, ``unknown_kind``.
    """


class DecodeError(EgizError, ValueError):
    """Not a payload of the contract.

    Attributes:
        path: where, as ``$.electrical.voltage.a``; ``$`` is the whole payload.
    """

    def __init__(self, message: str, reason: str, path: str = "$") -> None:
        super().__init__(message, reason)
        self.path = path


class MalformedPayload(DecodeError):
    """Not JSON of an acceptable size.

    `reason` is one of ``no_payload``, ``too_large``, ``too_deep``, ``not_utf8``,
    ``not_json``.
    """


class InvalidPayload(DecodeError):
    """JSON, but not a message of the contract.

    `reason` is one of ``duplicate``, ``missing``, ``type``, ``range``, ``charset``,
    ``empty``, ``device_mismatch``, ``unsupported_version``.
    """


class EncodeError(EgizError, ValueError):
    """A message, or a point, that must not be sent.

    `reason` is one of ``bad_device_id``, ``charset``, ``empty``, ``not_finite``,
    ``range``, ``too_large``, ``type``, ``unknown``, ``unsupported_version``.
    """


_SENTENCES = {
    "wrong_root": f"the first level of a topic must be {topics.ROOT!r}",
    "wrong_levels": "there must be four levels: sensors/facility/device_id/kind",
    "bad_facility": "a facility is words of a-z, 0-9 and _ joined by single hyphens, "
    f"at most {topics.FACILITY_MAX} characters, as bakery-2",
    "bad_device_id": "a device id is type-unit, of a-z, 0-9 and _ with single hyphens, "
    f"at most {topics.DEVICE_ID_MAX} characters, as oven-001",
    "unknown_kind": f"the last level of a topic is one of {', '.join(topics.KINDS)}",
    "no_payload": "a payload has no bytes only if a retained message was cleared",
    "too_large": f"a payload has at most {limits.PAYLOAD_BYTES_MAX} bytes",
    "too_deep": f"objects and lists are at most {limits.DEPTH_MAX} levels deep",
    "not_utf8": "a payload is UTF-8",
    "not_json": "a payload is JSON (RFC 8259) without NaN and half surrogate pairs",
    "duplicate": "an object must not name a member twice",
    "missing": "a required member must be there",
    "type": "a value must have the type that its member has in the contract",
    "range": "a value, or its length, must be within the limits of its member",
    "charset": "a text is printable ASCII",
    "empty": "a message must say something: telemetry a reading, a point a field",
    "device_mismatch": "the device_id of a payload is that of its topic",
    "unsupported_version": f"this reader knows wire version {limits.WIRE_VERSION}",
    "unknown": "telemetry holds only what this version does not know: keep it, and "
    "read it again with a newer one",
    "not_finite": "a number must be finite; leave out what was not measured",
}


def explain(reason: str) -> str:
    """The rule behind a reason, as one sentence without its full stop.

    >>> explain("charset")
    'a text is printable ASCII'

    Raises:
        KeyError: there is no such reason.
    """
    return _SENTENCES[reason]


def reasons() -> dict[str, tuple[str, ...]]:
    """The codes that each error may carry, by its name: those that it documents."""
    return {
        error.__name__: tuple(re.findall(r"``(\w+)``", error.__doc__ or ""))
        for error in (TopicError, MalformedPayload, InvalidPayload, EncodeError)
    }
