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


class EgizError(Exception):
    """Base of every error this package raises.

    Attributes:
        reason: a short code, stable within a major version.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


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
    ``range``, ``too_large``, ``type``, ``unsupported_version``.
    """


def reasons() -> dict[str, tuple[str, ...]]:
    """The codes that each error may carry, by its name: those that it documents."""
    return {
        error.__name__: tuple(re.findall(r"``(\w+)``", error.__doc__ or ""))
        for error in (TopicError, MalformedPayload, InvalidPayload, EncodeError)
    }
