"""The topic grammar: ``sensors/{facility}/{device_id}/{kind}``.

This file imports nothing and keeps to the MicroPython subset, because the very same
file runs on the device and on the server. Services use `egiz_schema.parse_topic` and
`egiz_schema.Topic`; firmware uses the functions here. Each error is a ``ValueError``
whose only argument is the reason code.
"""

ROOT = "sensors"
KINDS = ("telemetry", "status", "config", "command")

# What a subscriber of everything asks the broker for.
WILDCARD = "sensors/#"

FACILITY_MAX = 32  # characters
DEVICE_ID_MIN = 3  # characters: a type, a hyphen, a unit
DEVICE_ID_MAX = 48

_LEVELS = 4
_WORD = "abcdefghijklmnopqrstuvwxyz0123456789_"


def is_facility(text: str) -> bool:
    """Tell whether `text` is a facility: 1-32 characters, words joined by hyphens."""
    return 0 < len(text) <= FACILITY_MAX and _is_words(text)


def is_device_id(text: str) -> bool:
    """Tell whether `text` is a device id: ``{device_type}-{unit}``, 3-48 characters."""
    return len(text) <= DEVICE_ID_MAX and "-" in text and _is_words(text)


def split_device_id(device_id: str) -> tuple[str, str]:
    """Split a valid device id at its last hyphen into (device_type, unit)."""
    device_type, _, unit = device_id.rpartition("-")
    return device_type, unit


def join_topic(facility: str, device_id: str, kind: str) -> str:
    """Build the topic, or raise ValueError(reason): never one a broker drops."""
    if not is_facility(facility):
        raise ValueError("bad_facility")
    if not is_device_id(device_id):
        raise ValueError("bad_device_id")
    if kind not in KINDS:
        raise ValueError("unknown_kind")
    return ROOT + "/" + facility + "/" + device_id + "/" + kind


def split_topic(topic: str) -> tuple[str, str, str]:
    """Split a topic into (facility, device_id, kind); raises ValueError(reason)."""
    levels = topic.split("/")
    if levels[0] != ROOT:
        raise ValueError("wrong_root")
    if len(levels) != _LEVELS:
        raise ValueError("wrong_levels")
    join_topic(levels[1], levels[2], levels[3])
    return levels[1], levels[2], levels[3]


def _is_words(text: str) -> bool:
    # No regular expression: `$` accepts a trailing newline, MicroPython has no `\Z`.
    for word in text.split("-"):
        if not word:
            return False
        for character in word:
            if character not in _WORD:
                return False
    return True
