"""The desired configuration: staged to flash, applied, reported, and taken back.

`config.json` is what is in force. A new message is written to `config.new` first. If it
changes the network it is on trial: it takes the other's place once the broker has been
reached, and is forgotten if that takes too long. Renaming replaces a file at once, so a
power cut leaves the old configuration or the new one.

A message that was dealt with is remembered: the broker keeps it, and sends it again at
each connection. All state is in flash, so that this module is in memory only while
there is something to do.
"""

import json
import os
from binascii import crc32

from egiz_edge import timeouts
from egiz_edge.effective_settings import ConfigError, resolve
from egiz_edge.payloads import text

_SEEN = "config"  # in the store: what became of the last message
_NETWORK = ("wifi_ssid", "mqtt_broker")


class Desired:
    """What the config topic wants of this device.

    Args:
        directory: in flash.
        store: the board's.
        settings: `Settings`, which it changes.
        log: called with each line that a person may want to read.

    Attributes:
        is_on_trial: whether the network has changed, and is not confirmed.
        crc: CRC-32 of the message that was dealt with last, or None.
    """

    def __init__(self, directory, store, settings, log):
        self._in_force = directory + "/config.json"
        self._staged = directory + "/config.new"
        self._store = store
        self._settings = settings
        self._log = log
        self.rev, self.crc, self.error = 0, None, None
        try:
            self.rev, self.crc, self.error = json.loads(store.get(_SEEN) or "")
        except ValueError:
            pass  # none yet, or damaged: the broker sends the message again
        self.is_on_trial = self._load(self._staged) is not None

    def restore(self, is_plain=False):
        """After a boot.

        Args:
            is_plain: the device crashed again and again: of the configuration, only the
                network is kept, without which nobody could send a better one.
        """
        if is_plain:
            self._make_plain()
        config = self._load(self._staged) or self._load(self._in_force)
        if config is not None:
            self._adopt(config)

    def receive(self, msg, config, error):
        """Deal with a message of the topic.

        Args:
            msg: as it came.
            config: what it says, or None.
            error: why the contract does not allow it, or None.
        """
        if self.is_on_trial:
            self.confirm()  # it came over the network that is on trial
        crc = crc32(msg)
        if error is not None:
            self._note(self.rev, crc, error)
            return
        rev = config.get("rev") or 0
        if rev < self.rev:
            self._log("config %d: stale, %d was here" % (rev, self.rev))
            return
        try:
            self._take(config, msg)
            self._note(rev, crc, None)
        except OSError as fault:
            self._note(rev, None, "flash: %s" % fault)  # the next time, perhaps
        except ConfigError as fault:
            self._note(rev, crc, fault.args[0])

    def confirm(self):
        """The broker was reached: the trial is over, and the staged one in force."""
        os.rename(self._staged, self._in_force)
        self.is_on_trial = False
        self._note(self.rev, self.crc, None)

    def revert(self):
        """Go back to what was in force before the trial."""
        _remove(self._staged)
        self.is_on_trial = False
        self._adopt(self._load(self._in_force) or {})
        seconds = timeouts.TRIAL_MS // 1000
        self._note(self.rev, self.crc, "no broker within %d s, reverted" % seconds)

    def erase(self):
        """Factory reset: as provisioned, and ready for any revision."""
        for path in (self._staged, self._in_force):
            _remove(path)
        self._store.delete(_SEEN)

    def member(self):
        """What the status says of it, as a JSON member, or None if there is nothing."""
        if self.crc is None and self.error is None:
            return None
        error = "on trial" if self.is_on_trial else self.error
        if error is None:
            return '"config":{"rev":%d,"applied":true}' % self.rev
        return '"config":{"rev":%d,"applied":false,"error":%s}' % (
            self.rev,
            text(error),
        )

    def _take(self, config, msg):
        resolved = resolve(config, self._settings.given)
        is_trial = self._changes_network(resolved)
        _write(self._staged, msg)
        if not is_trial:
            os.rename(self._staged, self._in_force)
        self.is_on_trial = is_trial
        self._settings.adopt(resolved)

    def _changes_network(self, resolved):
        settings = self._settings
        return (settings.host, settings.port, settings.wifi_ssid) != (
            resolved["host"],
            resolved["port"],
            resolved["wifi_ssid"],
        )

    def _note(self, rev, crc, error):
        self.rev, self.crc, self.error = rev, crc, error
        self._store.put(_SEEN, json.dumps([rev, crc, error]))
        told = "on trial" if self.is_on_trial else error or "in force"
        self._log("config %d: %s" % (rev, told))

    def _adopt(self, config):
        self._settings.adopt(resolve(config, self._settings.given))

    def _load(self, path):
        """The configuration in a file; None if there is none that is sound."""
        try:
            with open(path) as file:
                config = json.loads(file.read())
            resolve(config, self._settings.given)
        except OSError:
            return None
        except (ValueError, TypeError, AttributeError) as fault:
            self._log("%s is damaged: %s" % (path, fault))
            _remove(path)
            self.crc = None  # have it sent again
            return None
        return config

    def _make_plain(self):
        config = self._load(self._in_force)
        _remove(self._staged)
        self.is_on_trial = False
        if config is None:
            return
        kept = {name: config[name] for name in config if name in _NETWORK}
        kept["device_id"] = self._settings.device_id
        _write(self._in_force, json.dumps(kept).encode())
        self._note(self.rev, self.crc, "crashed again and again, dropped")


def _write(path, data):
    with open(path + ".tmp", "wb") as file:
        file.write(data)
    os.rename(path + ".tmp", path)


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # there is none
