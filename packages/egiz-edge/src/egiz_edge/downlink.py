"""What the device is told: config and commands, taken in one at a time.

What deals with them is in memory only while there is something to deal with: it is
large, and seldom needed.
"""

import gc
import json
import sys
from binascii import crc32

_WAITING_MAX = 4
RULES = ("egiz_schema.orders", "egiz_schema.topics", "egiz_schema.limits")
_CONFIG = ("egiz_edge.desired_config", "egiz_edge.effective_settings")
_COMMAND = ("egiz_edge.commands", "egiz_edge.actions")


class Downlink:
    """Messages that wait, and what became of those before.

    Args:
        app: the `App`, whose actions are ordered.
        board: a port's `Board`.
        settings: `Settings`, which a configuration changes.
        log: called with each line that a person may want to read.

    Attributes:
        is_on_trial: whether the network has changed, and is not confirmed.
    """

    def __init__(self, app, board, settings, log):
        self._app = app
        self._board = board
        self._settings = settings
        self._log = log
        self._waiting = []
        self._config = self._crc = None
        self._command = self._load_last_command()
        self.is_on_trial = False

    @property
    def is_waiting(self):
        """Whether there is a message for `take`."""
        return bool(self._waiting)

    def put_config(self, msg, _retain):
        """A message of the config topic; the one that the broker keeps is known."""
        if msg and crc32(msg) != self._crc:
            self._put(msg, None)

    def put_command(self, msg, retain):
        """A message of the command topic."""
        self._put(msg, retain)

    async def take(self):
        """Deal with the oldest message; gives what to call after the report if any."""
        msg, retain = self._waiting.pop(0)
        document, error = self._checked(msg, retain is None)
        if retain is None:
            self.with_desired(lambda desired: desired.receive(msg, document, error))
            return None
        after = await self._commands().receive(document, error, retain)
        unload(_COMMAND)
        self._command = self._load_last_command()
        return after

    def with_desired(self, do):
        """Have `do(desired)` done."""
        from egiz_edge.desired_config import Desired  # noqa: PLC0415  # see the module

        board = self._board
        desired = Desired(board.data_directory, board.store, self._settings, self._log)
        do(desired)
        self.is_on_trial = desired.is_on_trial
        self._config, self._crc = desired.member(), desired.crc
        unload(_CONFIG)

    def members(self):
        """What the status says of all this, as JSON members."""
        outcomes = (self._config, self._command)
        return [outcome for outcome in outcomes if outcome is not None]

    def _checked(self, msg, is_config):
        """What a message says, and why the contract does not allow it, or None."""
        from egiz_schema import orders  # noqa: PLC0415  # see the module

        document = error = None
        try:
            document = json.loads(msg)
            check = orders.check_config if is_config else orders.check_command
            check(document, self._settings.device_id)
        except ValueError as fault:
            error = fault.args[1] if fault.args[1:] else "not JSON"
        unload(RULES)
        return document, error

    def _put(self, msg, retain):
        if len(self._waiting) < _WAITING_MAX:
            self._waiting.append((msg, retain))
        else:
            self._log("too many messages at once: one is ignored")

    def _commands(self):
        from egiz_edge.actions import Actions  # noqa: PLC0415  # see the module
        from egiz_edge.commands import Commands  # noqa: PLC0415

        board, device_id = self._board, self._settings.device_id
        actions = Actions(self._app, board, device_id).all()
        return Commands(board.store, board.clock, actions, self._log)

    def _load_last_command(self):
        last = self._board.store.get("last_command")
        return None if last is None else '"last_command":' + last


def unload(names):
    """Have modules collected that nothing refers to any more."""
    for name in names:
        sys.modules.pop(name, None)
        package, _, module = name.partition(".")
        parent = sys.modules.get(package)
        if hasattr(parent, module):
            delattr(parent, module)
    gc.collect()
