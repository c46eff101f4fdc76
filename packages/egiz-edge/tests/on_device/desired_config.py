"""The desired configuration: staged, in force, on trial, taken back."""

import json
import os

import _flash
from _board import Log, Store
from egiz_edge.desired_config import Desired
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

    def boot(self, is_plain=False):
        self.log = Log()
        self.settings = Settings(GIVEN)
        self.again()
        self.desired.restore(is_plain)

    def again(self):
        """As it is loaded, does something, and is unloaded."""
        self.desired = Desired(_PATH, self.store, self.settings, self.log)

    def gets(self, error=None, **config):
        config["device_id"] = "oven-001"
        self.again()
        self.desired.receive(json.dumps(config).encode(), config, error)
        return self.told()

    def told(self):
        member = self.desired.member()
        return None if member is None else json.loads("{" + member + "}")["config"]


def test_a_config_is_applied_at_once_and_after_a_boot():
    device = Device()
    assert device.told() is None
    told = device.gets(rev=7, publish_rate_ms=300)
    assert told == {"rev": 7, "applied": True}
    assert device.settings.publish_rate_ms == 300
    device.boot()
    assert device.settings.publish_rate_ms == 300
    assert device.told() == {"rev": 7, "applied": True}


def test_what_is_refused_changes_nothing_and_says_why():
    device = Device()
    device.gets(rev=7, publish_rate_ms=300)
    told = device.gets(rev=8, mqtt_broker=":")
    assert told == {"rev": 8, "applied": False, "error": "mqtt_broker: not host:port"}
    told = device.gets("rev: not an integer", rev="x")
    assert told == {"rev": 8, "applied": False, "error": "rev: not an integer"}
    device.boot()
    assert device.settings.publish_rate_ms == 300
    assert device.told()["error"] == "rev: not an integer"


def test_a_stale_revision_is_ignored():
    device = Device()
    device.gets(rev=7, publish_rate_ms=300)
    assert device.gets(rev=6, publish_rate_ms=900) == {"rev": 7, "applied": True}
    assert device.settings.publish_rate_ms == 300
    assert "stale" in device.log.lines[-1]


def test_a_network_that_works_is_kept():
    device = Device()
    device.gets(rev=7, publish_rate_ms=300)
    told = device.gets(rev=8, mqtt_broker="new:1884")
    assert told == {"rev": 8, "applied": False, "error": "on trial"}
    assert (device.settings.host, device.settings.port) == ("new", 1884)
    device.again()
    assert device.desired.is_on_trial
    device.desired.confirm()
    assert device.told() == {"rev": 8, "applied": True}
    device.boot()
    assert not device.desired.is_on_trial
    assert (device.settings.host, device.settings.publish_rate_ms) == ("new", 5000)


def test_a_network_that_does_not_is_left_and_never_tried_again():
    device = Device()
    device.gets(rev=7, publish_rate_ms=300)
    device.gets(rev=8, wifi_ssid="nowhere")
    device.again()
    device.desired.revert()
    assert device.settings.wifi_ssid is None
    assert device.settings.publish_rate_ms == 300
    told = device.told()
    assert (told["rev"], told["applied"]) == (8, False)
    assert "reverted" in told["error"]
    device.boot()
    assert device.settings.wifi_ssid is None
    assert device.told() == told


def test_a_trial_goes_on_after_a_power_cut():
    device = Device()
    device.gets(rev=8, mqtt_broker="new")
    device.boot()
    assert device.desired.is_on_trial
    assert device.settings.host == "new"
    device.desired.revert()
    assert device.settings.host == "old"


def test_a_device_that_crashes_with_it_drops_all_but_the_network():
    device = Device()
    device.gets(rev=7, mqtt_broker="new", publish_rate_ms=300)
    device.desired.confirm()
    device.boot(is_plain=True)
    assert device.settings.host == "new"
    assert device.settings.publish_rate_ms == 5000
    assert device.told()["error"] == "crashed again and again, dropped"
    device.boot()
    assert device.settings.publish_rate_ms == 5000


def test_a_damaged_file_is_forgotten_and_the_message_wanted_again():
    device = Device()
    device.gets(rev=7, publish_rate_ms=300)
    for damage in ("", "{", "[]", '{"publish_rate_ms":300,"zones":7}'):
        with open(_PATH + "/config.json", "w") as file:
            file.write(damage)
        device.boot()
        assert device.settings.publish_rate_ms == 5000
        assert device.desired.crc is None
    assert device.gets(rev=7, publish_rate_ms=300)["applied"]


def test_a_factory_reset_leaves_what_was_provisioned():
    device = Device()
    device.gets(rev=7, publish_rate_ms=300)
    device.desired.erase()
    device.boot()
    assert device.told() is None
    assert device.settings.publish_rate_ms == 5000
    assert device.gets(rev=1, publish_rate_ms=400) == {"rev": 1, "applied": True}
