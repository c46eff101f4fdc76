"""What a device is sent, by label: each says what a right answer to it is.

Nothing here harms a plant: a device that obeys what it should refuse blinks, takes a
reading, or publishes more seldom for a second.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from egiz_schema import Status, limits

_REVS = 20  # of one check
DAY_S = 86400
BURST = 6  # more than a small device queues
# The first that the device says it can.
_HARMLESS = ("identify", "sample_now")


class Configs:
    """Configs that differ from the one that was found by little.

    Args:
        device_id: of the device.
        found: the retained one, as bytes; empty if there was none.
        status: the last one of the device, or None.
    """

    def __init__(self, device_id: str, found: bytes, status: Status | None) -> None:
        self._device_id = device_id
        self._base = _members(found)
        in_force = status.config.rev if status and status.config else 0
        rev = max(_rev(self._base), in_force)
        # After the last of all revisions, any is a newer one.
        self._rev = rev if rev < limits.U32_MAX - _REVS else 0

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
    """Commands with ids of their own."""

    def __init__(self, device_id: str, can: list[str]) -> None:
        self._device_id = device_id
        self._run = secrets.token_hex(4)
        self._count = 0
        self.harmless = next((each for each in _HARMLESS if not can or each in can), "")

    def next(self, action: str = "", **members: Any) -> dict[str, Any]:
        """A command, of the harmless action if no other is named."""
        self._count += 1
        return {
            "device_id": self._device_id,
            "id": f"check-{self._run}-{self._count}",
            "action": action or self.harmless,
            **members,
        }


def as_bytes(document: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def _members(found: bytes) -> dict[str, Any]:
    try:
        document = json.loads(found or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _rev(document: Mapping[str, Any]) -> int:
    rev = document.get("rev")
    return rev if isinstance(rev, int) and 0 <= rev <= limits.U32_MAX else 0
