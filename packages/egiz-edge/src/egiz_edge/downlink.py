"""Incoming messages, config and commands, which processing.py processes one at a time.

The modules that do so are in memory only while there is a message: they are large, and
seldom needed.
"""

from binascii import crc32

from egiz_edge import unload

_WAITING_MAX = 4
_LOOK_S = 60
_BYTES_MAX = 4096  # of the commands that wait


class Downlink:
    """Messages that wait, and the outcome of the last ones.

    Args:
        log: called with each line that a person may want to read.

    Attributes:
        commands: pairs of a command that waits, and whether it was retained.
        refused: ids of commands for which there was no room.
        newest: config message that waits, its CRC-32 if it is too long, or None.
        config: JSON member of the status, or None.
        command: JSON member of the status, or None.
        update: JSON member of the status, or None.
        crc: CRC-32 of the config message that was processed last, or None.
        is_on_trial: whether the network has changed, and is not confirmed.
        firmware: when to look at the one that is wanted, see firmware.py; else empty.
    """

    def __init__(self, log):
        self._log = log
        self.commands = []
        self.refused = []
        self.newest = self.config = self.command = self.crc = self.update = None
        self.is_on_trial = False
        self.firmware = ()

    @property
    def is_waiting(self):
        """Whether there is a message to process."""
        return bool(self.commands or self.refused) or self.is_config_next

    @property
    def is_config_next(self):
        """Whether it is a config.

        One waits until the trial of another is over: what came over the network before
        confirms nothing.
        """
        return self.newest is not None and not self.is_on_trial

    def is_due(self, uptime_s):
        """Whether to look at the firmware that is wanted; not before a trial is over.

        There is another look in a minute, if there is no memory for this one.
        """
        look = self.firmware
        if not look or self.is_on_trial or uptime_s < look[0]:
            return False
        look[0] = uptime_s + _LOOK_S
        return True

    def put_config(self, msg, _retain):
        """A message of the config topic: the newest replaces one that waits.

        Of one that is too long for the memory, the CRC-32 is all that there is.
        One that was processed before is not processed again.
        """
        if msg == b"":
            return
        crc = msg if type(msg) is int else crc32(msg)
        if crc != self.crc:
            self.newest = msg
        elif not self.is_on_trial:  # then it comes from the other broker
            self.newest = None

    def put_command(self, msg, retain):
        """A message of the command topic; one too many is refused: busy.

        An empty one is none: somebody has cleared a retained one.
        """
        if msg == b"":
            return
        if type(msg) is int:
            self._log("a command is ignored: it is too long for the memory")
            return
        waiting = len(self.commands)
        size = sum([len(one) for one, _ in self.commands]) + len(msg)
        if waiting == 0 or (waiting < _WAITING_MAX and size <= _BYTES_MAX):
            self.commands.append((msg, retain))
            return
        self._log("a command is refused, as %d others wait: send it again" % waiting)
        if len(self.refused) < _WAITING_MAX:
            from egiz_edge import incoming  # noqa: PLC0415  # not kept: it is large

            self.refused.append(incoming.id_of(msg))
            unload("incoming")

    def members(self):
        """JSON members of the status: `config`, `last_command` and `ota`."""
        outcomes = (self.config, self.command, self.update)
        return [outcome for outcome in outcomes if outcome is not None]
