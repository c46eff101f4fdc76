"""Commands: each is executed at most once, or refused with a reason."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from egiz_schema import CommandResult, limits, orders

After = Callable[[], None]
Action = Callable[[dict[str, Any]], After | None]
_REMEMBERED = 16


class CommandError(Exception):
    """A command that was not executed.

    Attributes:
        result: ``refused`` if it was not begun, else ``failed``.
    """

    def __init__(self, reason: str, result: str = "refused") -> None:
        super().__init__(reason)
        self.result = result


class Commands:
    """Checks the commands of one device, and executes them.

    Args:
        device_id: whose they are.
        actions: what to do with the arguments; gives what to do after the report.

    Attributes:
        last: how the last one ended.
    """

    def __init__(self, device_id: str, actions: Mapping[str, Action]) -> None:
        self._device_id = device_id
        self._actions = actions
        self._ids: deque[str] = deque(maxlen=_REMEMBERED)
        self.last: CommandResult | None = None

    def receive(self, payload: bytes, is_retained: bool, now_s: float) -> After | None:
        """Execute a message of the topic, or refuse it; `last` says how it ended.

        Gives what to do once that is reported, such as a restart.
        """
        document = None
        try:
            document = _parsed(payload)
            command = self._checked(document, is_retained, now_s)
            self._ids.append(command["id"])
            after = self._actions[command["action"]](command.get("args") or {})
        except CommandError as error:
            self.last = CommandResult(
                id=_id_of(document), result=error.result, error=_shown(str(error))
            )
            return None
        self.last = CommandResult(id=command["id"], result="done")
        return after

    def _checked(
        self, document: object, is_retained: bool, now_s: float
    ) -> dict[str, Any]:
        try:
            orders.check_command(document, self._device_id)
            assert isinstance(document, dict)
            if document["action"] in orders.ACTIONS:
                arguments = document.get("args") or {}
                orders.check_arguments(document["action"], arguments, self._device_id)
        except ValueError as error:
            raise CommandError(str(error.args[-1])) from None
        if is_retained:
            raise CommandError("retained")
        if document["id"] in self._ids:
            raise CommandError("repeated")
        expires_at = document.get("expires_at")
        if expires_at is not None and expires_at < now_s:
            raise CommandError("expired")
        if document["action"] not in self._actions:
            raise CommandError("unknown action")
        return document


def _parsed(payload: bytes) -> object:
    if len(payload) > limits.PAYLOAD_BYTES_MAX:
        raise CommandError(f"more than {limits.PAYLOAD_BYTES_MAX} bytes")
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise CommandError("not JSON") from None


def _id_of(document: object) -> str:
    """The id that its sender gave it, or "?"."""
    found = document.get("id") if isinstance(document, dict) else None
    if isinstance(found, str) and 0 < len(found) <= limits.TEXT_MAX:
        return found if limits.is_text(found) else "?"
    return "?"


def _shown(text: str) -> str:
    printable = "".join(c if limits.is_text(c) else "?" for c in text)
    return printable[: limits.TEXT_MAX]
