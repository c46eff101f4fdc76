"""Commands: each is executed at most once, or refused with a reason.

A command that is retained, repeated or expired is refused; the ids of the last commands
outlive a reboot. An expiry cannot be checked before the clock is set, so until then a
command that has one is refused as well. All state is in flash,
so that this module is in memory only while there is a command.
"""

import json
from binascii import crc32

from egiz_edge.payloads import text

_IDS = "command_ids"  # keys in the store
_LAST = "last_command"  # read by downlink.py
_REMEMBERED = 16
_CUT = "interrupted"


class CommandError(Exception):
    """A command that was not executed; args[0] is the reason.

    args[1], if it is there, is the result: `refused` for an action that was not begun.
    """


class Commands:
    """Checks the commands of the command topic, and executes them.

    Args:
        store: the board's.
        clock: the board's.
        actions: action -> coroutine function of the arguments (a dict); it raises
            CommandError, and gives a function to call after its result is
            reported, or None.
        log: called with each line that a person may want to read.
    """

    def __init__(self, store, clock, actions, log):
        self._store = store
        self._clock = clock
        self._actions = actions
        self._log = log
        self._ids = _list(store.get(_IDS))  # CRC-32 of each

    async def receive(self, command, reason, is_retained):
        """Execute a message of the topic, or refuse it.

        Args:
            command: the decoded message, or None.
            reason: why the contract does not allow it, or None.
            is_retained: whether the broker had kept it.

        Gives a function to call once the result is reported, or None.
        """
        try:
            self._check(command, reason, is_retained)
        except CommandError as error:
            self._record(_id_of(command), "refused", error.args[0])
            return None
        # Else a power cut would leave no word of it.
        self._keep(command["id"], "failed", _CUT)
        self._remember(command["id"])
        return await self._execute(command)

    def refuse(self, command_id, reason):
        """Answer a command that is not processed."""
        self._record(command_id, "refused", reason)

    async def _execute(self, command):
        after = None
        try:
            after = await self._actions[command["action"]](command.get("args") or {})
            self._record(command["id"], "done")
        except CommandError as error:
            result = error.args[1] if error.args[1:] else "failed"
            self._record(command["id"], result, error.args[0])
        except Exception as error:
            self._record(command["id"], "failed", repr(error))
        return after

    def _check(self, command, reason, is_retained):
        if reason is not None:
            raise CommandError(reason)
        if is_retained:
            raise CommandError("retained")
        if crc32(command["id"].encode()) in self._ids:
            raise CommandError("repeated")
        check_expiry(command, self._clock)
        if command["action"] not in self._actions:
            raise CommandError("unknown action")

    def _remember(self, command_id):
        """Before it is executed: rather once too few than once too many."""
        self._ids = self._ids[1 - _REMEMBERED :]
        self._ids.append(crc32(command_id.encode()))
        self._store.put(_IDS, json.dumps(self._ids))

    def _record(self, command_id, result, error=None):
        self._keep(command_id, result, error)
        self._log("command %s: %s %s" % (command_id, result, error or ""))

    def _keep(self, command_id, result, error):
        members = ['"id":' + text(command_id), '"result":' + text(result)]
        if error is not None:
            members.append('"error":' + text(error))
        self._store.put(_LAST, "{" + ",".join(members) + "}")


def check_expiry(command, clock):
    """Raise CommandError for one that has expired, or may have."""
    expires_at = command.get("expires_at")
    if expires_at is not None:
        if not clock.is_synced():
            raise CommandError("clock not set")
        if expires_at * 1000 < clock.now_ms():
            raise CommandError("expired")


def _id_of(command):
    """The id that its sender gave it, or "?"."""
    command_id = command.get("id") if type(command) is dict else None
    return command_id if type(command_id) is str and command_id else "?"


def _list(text):
    """The list that was stored; an empty one where it is damaged."""
    try:
        stored = json.loads(text or "[]")
    except ValueError:
        return []
    return stored if type(stored) is list else []
