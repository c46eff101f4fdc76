"""Incoming messages, config and commands, processed one at a time.

The modules that process them are in memory only while there is a message: they are
large, and seldom needed.
"""

import gc
import json
import sys
from binascii import crc32

_WAITING_MAX = 4
_BYTES_MAX = 4096  # of the commands that wait
RULES = ("egiz_schema.orders", "egiz_schema.topics", "egiz_schema.limits")
_CONFIG = (
    "egiz_edge.desired_config",
    "egiz_edge.effective_settings",
    "egiz_edge.settings_check",
)
_COMMAND = ("egiz_edge.incoming", "egiz_edge.commands", "egiz_edge.actions")


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
        self._refused = []  # ids of commands for which there was no room
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
        return bool(self._waiting or self._refused) or self._is_config_next()

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
        """A message of the command topic; one too many is refused: busy."""
        waiting = len(self._waiting)
        size = sum([len(one) for one, _ in self._waiting]) + len(msg)
        if waiting == 0 or (waiting < _WAITING_MAX and size <= _BYTES_MAX):
            self._waiting.append((msg, retain))
            return
        self._log("a command is refused, as %d others wait: send it again" % waiting)
        if len(self._refused) < _WAITING_MAX:
            from egiz_edge import incoming  # noqa: PLC0415  # not kept: it is large

            self._refused.append(incoming.id_of(msg))
            unload(_COMMAND)

    async def handle_next(self):
        """Process a message; gives what to call after the report, or None."""
        try:
            if self._is_config_next():
                msg, self._newest = self._newest, None
                return self._handle_config(msg)
            return await self._handle_command()
        finally:  # also after an error: they would fill the memory
            unload(RULES + _COMMAND + _CONFIG)
            self._command = self._load_last_command()

    def _handle_config(self, msg):
        """One for which there is no memory is refused, and the device runs on."""
        from egiz_edge import incoming  # noqa: PLC0415  # not kept: it is large

        document, reason = incoming.checked(msg, True, self._settings.device_id)
        del incoming
        unload(RULES + _COMMAND)
        try:
            self.with_config(lambda config: config.receive(msg, document, reason))
        except MemoryError:
            document = None
            unload(_CONFIG)
            reason = "no memory for it"
            self.with_config(lambda config: _refuse(config, msg, reason))

    async def _handle_command(self):
        from egiz_edge import incoming  # noqa: PLC0415  # not kept: it is large

        commands = incoming.commands(self._app, self._board, self._log)
        if not self._waiting:
            commands.refuse(self._refused.pop(0), "busy")
            return None
        msg, retain = self._waiting.pop(0)
        document, reason = incoming.checked(msg, False, self._settings.device_id)
        unload(RULES)
        return await commands.receive(document, reason, retain)

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
        unload(RULES + _CONFIG)

    def members(self):
        """JSON members of the status: `config` and `last_command`."""
        outcomes = (self._config, self._command)
        return [outcome for outcome in outcomes if outcome is not None]

    def _is_config_next(self):
        return self._newest is not None and not self.is_on_trial

    def _load_last_command(self):
        """As JSON; a damaged one would damage the status."""
        last = self._board.store.get("last_command")
        try:
            is_whole = type(json.loads(last or "0")) is dict
        except ValueError:
            is_whole = False
        return '"last_command":' + last if is_whole else None


def _refuse(config, msg, reason):
    """Unless it is in force already: then only its report had no memory."""
    if config.crc != crc32(msg):
        config.receive(msg, None, reason)


def unload(names):
    """Remove modules from memory that nothing refers to any more."""
    for name in names:
        sys.modules.pop(name, None)
        package, _, module = name.partition(".")
        parent = sys.modules.get(package)
        if hasattr(parent, module):
            delattr(parent, module)
    gc.collect()
