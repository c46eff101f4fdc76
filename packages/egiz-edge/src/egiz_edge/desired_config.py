"""The desired configuration: staged to flash, applied, reported, and reverted.

`config.json` is what is in force. A new message is written to `config.new` first. If it
changes the network it is on trial: it replaces the other one when the broker has been
reached, and is deleted if that lasts too long. Renaming replaces a file at once, so a
power cut leaves the old configuration or the new one.

A message that was processed is remembered: it is retained, so the broker sends it again
at each connection. All state is in flash, so that this module is in memory only while
there is something to do.
"""

import json
import os
from binascii import crc32

from egiz_edge import config_outcome, timeouts
from egiz_edge.effective_settings import ConfigError, resolve

_SETTINGS = "settings_crc"  # key in the store: of the settings of the boot before
# Without these, neither a correction nor a better version is received.
_RESCUE = ("wifi_ssid", "mqtt_broker", "firmware")
_REV_MAX = 4294967295  # U32_MAX of the contract
_BYTES_MAX = 16384  # of a configuration; a device has no memory for a longer one


class DesiredConfig:
    """The configuration that the config topic asks for.

    Args:
        directory: in flash.
        store: the board's.
        settings: `Settings`, which it changes.
        log: called with each line that a person may want to read.

    Attributes:
        is_on_trial: whether the network has changed, and is not confirmed.
        crc: CRC-32 of the message that was processed last, or None.
        firmware: when to look at the one that is wanted, see firmware.py; None if that
            has not changed.
    """

    def __init__(self, directory, store, settings, log):
        self._in_force = directory + "/config.json"
        self._staged = directory + "/config.new"
        self._store = store
        self._settings = settings
        self._log = log
        self.rev, self.crc, self.error, self._refused_rev = config_outcome.load(store)
        self.is_on_trial = self._load(self._staged) is not None
        self.firmware = None

    def restore(self, is_plain=False):
        """After a boot; new settings, which came by cable, win over what is stored.

        Args:
            is_plain: the device crashed again and again: of the configuration, only
                network and firmware are kept.
        """
        self._keep_if_settings_are_the_same()
        if is_plain:
            self._make_plain()
        found = self._load(self._staged) or self._load(self._in_force)
        if found is not None:
            self._apply(*found)
        else:
            self._want({})

    def receive(self, msg, config, reason):
        """Process a message of the topic; there is no trial now.

        Args:
            msg: as it was received.
            config: the decoded message, or None.
            reason: why the contract does not allow it, or None.
        """
        crc = crc32(msg)
        if reason is not None:
            self._record(self.rev, crc, reason, _rev_of(config))
            return
        rev = config.get("rev") or 0
        if rev < self.rev < _REV_MAX:  # after the last revision, any is a newer one
            self._log(
                "config %d: ignored as stale, revision %d is in force" % (rev, self.rev)
            )
            return
        try:
            self._stage(config, msg)
            self._record(rev, crc, None)
        except OSError as error:
            self._record(
                rev, None, "flash: %s" % error
            )  # tried again when it is resent
        except ConfigError as error:
            self._record(rev, crc, error.args[0], rev)

    def last(self):
        """Of the last message, see config_outcome.py."""
        return self.rev, self.crc, self.error, self._refused_rev

    def confirm(self):
        """The broker was reached: the trial is over, and the staged one in force."""
        self.is_on_trial = False
        try:
            os.rename(self._staged, self._in_force)
            self._record(self.rev, self.crc, None)
        except OSError as error:  # after a reset it is on trial again
            self._record(self.rev, self.crc, "flash: %s" % error)

    def revert(self):
        """Go back to what was in force before the trial."""
        _remove(self._staged)
        self.is_on_trial = False
        error = "no broker within %d s, reverted" % (timeouts.TRIAL_MS // 1000)
        if self._is_password_kept(self._settings.password):
            error += "; it got no password"
        found = self._load(self._in_force)
        self._apply(*(found or ({}, resolve({}, self._settings.given))))
        self._record(self.rev, self.crc, error, self.rev)

    def erase(self):
        """Factory reset: as provisioned, and ready for any revision."""
        for path in (self._staged, self._in_force):
            _remove(path)
        self.rev, self.crc, self.error, self._refused_rev = 0, None, None, None
        config_outcome.keep(self._store, self.last())
        self._want({})
        self.is_on_trial = False

    def _keep_if_settings_are_the_same(self):
        """Else whoever wrote new ones could not rescue a device from a dead broker."""
        crc = "%d" % _crc_of_settings(self._settings.given)
        if self._store.get(_SETTINGS) == crc:
            return
        if self._load(self._staged) or self._load(self._in_force):
            self._log(
                "the settings are new: the configuration of before is dropped, and"
                " applied again if the broker has it"
            )
            self.erase()
        self._store.put(_SETTINGS, crc)

    def _stage(self, config, msg):
        if "firmware" in config:
            from egiz_edge import firmware  # noqa: PLC0415  # few have one

            firmware.check(config)
        resolved = resolve(config, self._settings.given)
        is_trial = self._changes_network(resolved)
        if is_trial and self._is_password_kept(resolved["password"]):
            self._log(
                "%s gets no password without TLS; password_for_any_broker in the"
                " settings allows it" % resolved["host"]
            )
        _write(self._staged, msg)
        if not is_trial:
            os.rename(self._staged, self._in_force)
        self.is_on_trial = is_trial
        self._settings.update(resolved)
        self._want(config, True)

    def _is_password_kept(self, password):
        """Whether there is one, and `password`, what the broker gets, is not it."""
        return password is None and self._settings.given.get("password") is not None

    def _changes_network(self, resolved):
        settings = self._settings
        return (settings.host, settings.port, settings.wifi_ssid) != (
            resolved["host"],
            resolved["port"],
            resolved["wifi_ssid"],
        )

    def _record(self, rev, crc, error, refused_rev=None):
        self.rev, self.crc, self.error = rev, crc, error
        self._refused_rev = refused_rev
        config_outcome.keep(self._store, self.last())
        outcome = "on trial" if self.is_on_trial else error or "in force"
        self._log("config %d: %s" % (rev, outcome))

    def _apply(self, config, resolved):
        self._settings.update(resolved)
        self._want(config)

    def _want(self, config, is_asked=False):
        """Keep which firmware is wanted."""
        self.firmware = ()
        if "firmware" in config or self._store.get("firmware"):
            from egiz_edge import firmware  # noqa: PLC0415  # few have one

            self.firmware = firmware.keep(self._store, config, is_asked)

    def _load(self, path):
        """The configuration in a file, and the settings that it leads to.

        None if there is none that is valid.
        """
        try:
            os.stat(path)
        except OSError:
            return None
        # Not within `try`: where that is damaged, the configuration is not.
        from egiz_schema.orders import check_config  # noqa: PLC0415  # few have one

        try:
            config = json.loads(_read(path))
            check_config(config, self._settings.device_id)
            return config, resolve(config, self._settings.given)
        except OSError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            self._log("%s is damaged, deleted: %r" % (path, error))
            _remove(path)
            self.crc = None  # process it again when the broker sends it
            return None

    def _make_plain(self):
        found = self._load(self._in_force)
        _remove(self._staged)
        self.is_on_trial = False
        if found is None:
            return
        config, _ = found
        kept = {name: config[name] for name in config if name in _RESCUE}
        kept["device_id"] = self._settings.device_id
        try:
            _write(self._in_force, json.dumps(kept).encode())
        except OSError:
            _remove(self._in_force)
        self._record(self.rev, self.crc, "crashed again and again, dropped")


def _crc_of_settings(given):
    """The same for the same settings: objects have no order here."""
    items = []
    for name, value in given.items():
        shown = sorted(value.items()) if type(value) is dict else value
        items.append("%s=%r" % (name, shown))
    return crc32("\n".join(sorted(items)).encode())


def _rev_of(config):
    """The revision that a message which is refused has, if it is one."""
    rev = config.get("rev") if type(config) is dict else None
    return rev if type(rev) is int and 0 <= rev <= _REV_MAX else None


def _read(path):
    if os.stat(path)[6] > _BYTES_MAX:
        raise ValueError("too long")
    with open(path) as file:
        return file.read()


def _write(path, data):
    with open(path + ".tmp", "wb") as file:
        file.write(data)
    os.rename(path + ".tmp", path)


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # there is none
