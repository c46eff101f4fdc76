"""Incoming messages, config and commands, processed one at a time.

The modules that process them are in memory only while there is a message: they are
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
    """Messages that wait, and the outcome of the last ones.

    Args:
        app: the `App` that commands act on.
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
        self._waiting = []  # commands
        self._newest = None  # config message that waits
        self._config = self._crc = None
        self._command = self._load_last_command()
        self.is_on_trial = False

    @property
    def is_waiting(self):
        """Whether there is a message for `handle_next`.

        A config waits until the trial of another is over: what came over the network
        before confirms nothing.
        """
        return bool(self._waiting) or self._is_config_next()

    def put_config(self, msg, _retain):
        """A message of the config topic: the newest replaces one that waits.

        One that was processed before is not processed again.
        """
        if not msg:
            return
        if crc32(msg) != self._crc:
            self._newest = msg
        elif not self.is_on_trial:  # then it comes from the other broker
            self._newest = None

    def put_command(self, msg, retain):
        """A message of the command topic."""
        if len(self._waiting) < _WAITING_MAX:
            self._waiting.append((msg, retain))
        else:
            self._log(
                "more than %d commands wait: one is ignored, send it again"
                % _WAITING_MAX
            )

    async def handle_next(self):
        """Process a message; gives what to call after the report, or None."""
        if self._is_config_next():
            msg, self._newest = self._newest, None
            document, reason = self._checked(msg, True)
            self.with_config(lambda config: config.receive(msg, document, reason))
            return None
        msg, retain = self._waiting.pop(0)
        document, reason = self._checked(msg, False)
        after = await self._commands().receive(document, reason, retain)
        unload(_COMMAND)
        self._command = self._load_last_command()
        return after

    def with_config(self, do):
        """Call `do` with the `DesiredConfig`."""
        from egiz_edge.desired_config import DesiredConfig  # noqa: PLC0415  # see the module

        board = self._board
        config = DesiredConfig(
            board.data_directory, board.store, self._settings, self._log
        )
        do(config)
        self.is_on_trial = config.is_on_trial
        self._config, self._crc = config.member(), config.crc
        unload(_CONFIG)

    def members(self):
        """JSON members of the status: `config` and `last_command`."""
        outcomes = (self._config, self._command)
        return [outcome for outcome in outcomes if outcome is not None]

    def _checked(self, msg, is_config):
        """The decoded message, and why the contract does not allow it, or None."""
        from egiz_schema import orders  # noqa: PLC0415  # see the module

        document = reason = None
        try:
            document = json.loads(msg)
            device_id = self._settings.device_id
            if is_config:
                orders.check_config(document, device_id)
            else:
                orders.check_command(document, device_id)
                if document["action"] in orders.ACTIONS:  # else it is refused later
                    arguments = document.get("args") or {}
                    orders.check_arguments(document["action"], arguments, device_id)
        except ValueError as error:
            reason = error.args[1] if error.args[1:] else "not JSON"
        unload(RULES)
        return document, reason

    def _is_config_next(self):
        return self._newest is not None and not self.is_on_trial

    def _commands(self):
        from egiz_edge.actions import Actions  # noqa: PLC0415  # see the module
        from egiz_edge.commands import Commands  # noqa: PLC0415

        board = self._board
        actions = Actions(self._app, board).all()
        return Commands(board.store, board.clock, actions, self._log)

    def _load_last_command(self):
        last = self._board.store.get("last_command")
        return None if last is None else '"last_command":' + last


def unload(names):
    """Remove modules from memory that nothing refers to any more."""
    for name in names:
        sys.modules.pop(name, None)
        package, _, module = name.partition(".")
        parent = sys.modules.get(package)
        if hasattr(parent, module):
            delattr(parent, module)
    gc.collect()
