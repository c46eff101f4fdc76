"""The desired configuration: staged, in force, on trial, reverted."""

import json
import os
from binascii import crc32

import _flash
from _board import Log, Store
from egiz_edge import config_outcome, unload
from egiz_edge.desired_config import DesiredConfig
from egiz_edge.settings import Settings

GIVEN = {"facility": "factory", "device_id": "oven-001", "broker": "old"}
_PATH = _flash.directory()


class Device:
    """Boots on the same flash and store."""

    def __init__(self):
        try:
            os.mkdir(_PATH)
        except OSError:
            pass
        for name in os.listdir(_PATH):
            os.remove(_PATH + "/" + name)
        self.store = Store()
        self.boot()

    def boot(self, is_plain=False, **given):
        self.log = Log()
        given.update(GIVEN)
        self.settings = Settings(given)
        unload("settings_check")  # as startup.py does
        self.load()
        self.desired.restore(is_plain)

    def load(self):
        """Load it as the firmware does for each message."""
        self.desired = DesiredConfig(_PATH, self.store, self.settings, self.log)

    def receive(self, reason=None, **config):
        config["device_id"] = "oven-001"
        self.load()
        msg = json.dumps(config).encode()
        self.crc = crc32(msg)
        self.desired.receive(msg, config, reason)
        return self.reported()

    def reported(self):
        config = self.desired
        path = _PATH + "/config.json"
        member = config_outcome.member(config.last(), path, config.is_on_trial)
        return None if member is None else json.loads("{" + member + "}")["config"]


def test_a_config_is_applied_immediately_and_after_a_boot():
    device = Device()
    assert device.reported() is None
    reported = device.receive(rev=7, publish_rate_ms=300)
    assert reported == {"rev": 7, "applied": True, "crc": device.crc}
    assert device.settings.publish_rate_ms == 300
    device.boot()
    assert device.settings.publish_rate_ms == 300
    assert device.reported() == {"rev": 7, "applied": True, "crc": device.crc}


def test_configs_of_one_revision_differ_in_their_crc():
    device = Device()
    first = device.receive(rev=7, publish_rate_ms=300)
    second = device.receive(rev=7, publish_rate_ms=400)
    assert first["rev"] == second["rev"] == 7
    assert first["crc"] != second["crc"] == device.crc
    assert device.settings.publish_rate_ms == 400


def test_a_refused_config_changes_nothing_and_the_reason_is_reported():
    device = Device()
    device.receive(rev=7, publish_rate_ms=300)
    in_force = device.crc
    reported = device.receive(rev=8, mqtt_broker=":")
    error = "mqtt_broker: not host:port"
    assert reported == {
        "rev": 8,
        "applied": False,
        "error": error,
        "crc": in_force,
        "refused": {"rev": 8, "crc": device.crc, "error": error},
    }
    error = "rev: not an integer"
    reported = device.receive(error, rev="x")
    assert reported == {
        "rev": 8,
        "applied": False,
        "error": error,
        "crc": in_force,
        "refused": {"crc": device.crc, "error": error},
    }
    device.boot()
    assert device.settings.publish_rate_ms == 300
    assert device.reported()["error"] == "rev: not an integer"


def test_a_stale_revision_is_ignored():
    device = Device()
    device.receive(rev=7, publish_rate_ms=300)
    in_force = device.reported()
    assert device.receive(rev=6, publish_rate_ms=900) == in_force
    assert device.settings.publish_rate_ms == 300
    assert "stale" in device.log.lines[-1]


def test_after_the_last_revision_there_is_a_next_one():
    device = Device()
    device.receive(rev=4294967295)
    assert device.receive(rev=7, publish_rate_ms=300)["rev"] == 7
    assert device.settings.publish_rate_ms == 300


def test_a_network_that_leads_to_the_broker_is_confirmed():
    device = Device()
    in_force = device.receive(rev=7, publish_rate_ms=300)["crc"]
    reported = device.receive(rev=8, mqtt_broker="new:1884")
    error = "on trial"
    assert reported == {"rev": 8, "applied": False, "error": error, "crc": in_force}
    assert (device.settings.host, device.settings.port) == ("new", 1884)
    device.load()
    assert device.desired.is_on_trial
    device.desired.confirm()
    assert device.reported() == {"rev": 8, "applied": True, "crc": device.crc}
    device.boot()
    assert not device.desired.is_on_trial
    assert (device.settings.host, device.settings.publish_rate_ms) == ("new", 5000)


def test_a_network_that_does_not_is_reverted_and_not_tried_again():
    device = Device()
    device.receive(rev=7, publish_rate_ms=300)
    device.receive(rev=8, wifi_ssid="nowhere")
    device.load()
    device.desired.revert()
    assert device.settings.wifi_ssid is None
    assert device.settings.publish_rate_ms == 300
    reported = device.reported()
    assert (reported["rev"], reported["applied"]) == (8, False)
    assert "reverted" in reported["error"]
    device.boot()
    assert device.settings.wifi_ssid is None
    assert device.reported() == reported


def test_a_broker_that_gets_no_password_is_named_in_log_and_report():
    device = Device()
    device.boot(user="oven-001", password="secret")
    device.receive(rev=8, mqtt_broker="new")
    assert device.settings.password is None
    assert "new gets no password without TLS" in device.log.lines[0]
    device.load()
    device.desired.revert()
    assert device.settings.password == "secret"
    assert device.reported()["error"].endswith("reverted; it got no password")


def test_a_trial_goes_on_after_a_power_cut():
    device = Device()
    device.receive(rev=8, mqtt_broker="new")
    device.boot()
    assert device.desired.is_on_trial
    assert device.settings.host == "new"
    device.desired.revert()
    assert device.settings.host == "old"


def test_a_device_that_crashes_with_it_drops_all_but_the_network():
    device = Device()
    device.receive(rev=7, mqtt_broker="new", publish_rate_ms=300)
    device.desired.confirm()
    device.boot(is_plain=True)
    assert device.settings.host == "new"
    assert device.settings.publish_rate_ms == 5000
    assert device.reported()["error"] == "crashed again and again, dropped"
    device.boot()
    assert device.settings.publish_rate_ms == 5000


def test_a_damaged_file_is_deleted_and_the_message_accepted_again():
    device = Device()
    device.receive(rev=7, publish_rate_ms=300)
    for damage in ("", "{", "[]", '{"publish_rate_ms":300,"zones":7}'):
        with open(_PATH + "/config.json", "w") as file:
            file.write(damage)
        device.boot()
        assert device.settings.publish_rate_ms == 5000
        assert device.desired.crc is None
    assert device.receive(rev=7, publish_rate_ms=300)["applied"]


def test_a_factory_reset_leaves_what_was_provisioned():
    device = Device()
    device.receive(rev=7, publish_rate_ms=300)
    device.desired.erase()
    device.boot()
    assert device.reported() is None
    assert device.settings.publish_rate_ms == 5000
    reported = device.receive(rev=1, publish_rate_ms=400)
    assert reported == {"rev": 1, "applied": True, "crc": device.crc}


def test_new_settings_win_over_the_configuration_of_before():
    device = Device()
    device.receive(rev=7, publish_rate_ms=300)
    device.boot()
    assert device.settings.publish_rate_ms == 300
    device.boot(port=1884)
    assert device.settings.publish_rate_ms == 5000
    assert device.reported() is None
    assert "settings are new" in device.log.lines[-1]
    reported = device.receive(rev=7, publish_rate_ms=300)
    assert (reported["rev"], reported["applied"]) == (7, True)
    device.boot(port=1884)
    assert device.settings.publish_rate_ms == 300


def test_settings_are_the_same_in_any_order():
    device = Device()
    device.boot(tls={"ca": "/ca.der", "cert": "/c.der", "key": "/k.der"}, port=8883)
    device.receive(rev=7, publish_rate_ms=300)
    device.boot(port=8883, tls={"key": "/k.der", "ca": "/ca.der", "cert": "/c.der"})
    assert device.settings.publish_rate_ms == 300
