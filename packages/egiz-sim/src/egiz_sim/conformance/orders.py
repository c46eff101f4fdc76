"""What a device is sent, by label: each says what a right answer to it is.

Nothing here harms a plant: a device that obeys what it should refuse blinks, takes a
reading, or publishes more seldom for a second.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from egiz_schema import Config, EgizError, Status, decode, limits

_REVS = 20  # of one check
_ROOM = 200  # bytes, for all that a config of the check says beside the one found
DAY_S = 86400
BURST = 6  # more than a small device queues
HARMLESS = ("identify", "sample_now")


class Configs:
    """Configs that differ from the one that was found by little.

    Args:
        topic: of configs of the device.
        found: the retained one, as bytes; empty if there was none.
        status: the last one of the device, or None.
        waiting: how many readings may wait in the outage. A smaller buffer of the one
            that was found is left out: it is as it was provisioned.

    Attributes:
        refusal: why the contract refuses the one that was found, and these name nothing
            of it; empty if it does not.
        has_room: whether these have at most as many bytes as the contract allows.
    """

    def __init__(
        self, topic: str, found: bytes, status: Status | None, waiting: int = 0
    ) -> None:
        self._device_id = topic.split("/")[-2]
        self._base, self.refusal = _members(topic, found)
        if (self._base.get("buffer_size") or 0) < waiting:
            self._base.pop("buffer_size", None)
        room = limits.PAYLOAD_BYTES_MAX - _ROOM
        self.has_room = len(as_bytes(self._base)) <= room
        rev = max(self._base.get("rev") or 0, _reported_rev(status))
        # After the last of all revisions, any is a newer one.
        self._rev = int(rev) if rev < limits.U32_MAX - _REVS else 0

    def next(self, **changes: Any) -> dict[str, Any]:
        """One of the next revision."""
        self._rev += 1
        return self.same(**changes)

    def same(self, **changes: Any) -> dict[str, Any]:
        """Another one of the same revision."""
        head = {"device_id": self._device_id, "rev": self._rev}
        return {**self._base, **head, **changes}

    def last(self) -> dict[str, Any]:
        """As it was found, but of the last of all revisions."""
        return {**self._base, "device_id": self._device_id, "rev": limits.U32_MAX}


class Commands:
    """Commands with ids of their own.

    Attributes:
        harmless: actions to try: the first that the device says it can, or all if it
            says nothing.
        action: of a command that names no other.
    """

    def __init__(self, device_id: str, can: list[str]) -> None:
        self._device_id = device_id
        self._run = secrets.token_hex(4)
        self._count = 0
        known = [each for each in HARMLESS if each in can][:1]
        self.harmless = known if can else list(HARMLESS)
        self.action = ""

    def next(self, action: str = "", **members: Any) -> dict[str, Any]:
        """A command, of the harmless `action` if no other is named."""
        self._count += 1
        return {
            "device_id": self._device_id,
            "id": f"check-{self._run}-{self._count}",
            "action": action or self.action,
            **members,
        }


def as_bytes(document: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def _members(topic: str, found: bytes) -> tuple[dict[str, Any], str]:
    """Of a config, as it was written; none, and why, of what is no right config."""
    if not found:
        return {}, ""
    try:
        decode(topic, found, Config)
        document: dict[str, Any] = json.loads(found)
        json.dumps(document, allow_nan=False)
    except (EgizError, ValueError) as error:  # the latter: a number that is endless
        path = getattr(error, "path", "")
        return {}, f"{path}: {error}" if path else str(error)
    return document, ""


def _reported_rev(status: Status | None) -> int:
    """The newest that the device has seen, as it says."""
    if status is None or status.config is None:
        return 0
    refused = status.config.refused
    return max(status.config.rev or 0, refused.rev or 0 if refused else 0)
