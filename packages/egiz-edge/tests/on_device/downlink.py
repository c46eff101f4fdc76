"""Incoming messages: the newest configuration wins, and a trial is not disturbed."""

import asyncio
import json
import os
import sys

import _flash
from _board import Clock, Log, Store
from egiz_edge import processing
from egiz_edge.downlink import Downlink
from egiz_edge.settings import Settings

GIVEN = {"facility": "factory", "device_id": "oven-001", "broker": "old"}
_PATH = _flash.directory(blocks=24)


class Board:
    def __init__(self):
        self.store, self.clock = Store(), Clock()
        self.data_directory = _PATH


class Device:
    """What is processed needs of an app."""

    def __init__(self):
        if sys.implementation.name != "micropython":
            # Other tests of the process have these modules, too.
            processing.unload = processing.discard = lambda *_names: None
            processing.unload_rules = lambda: None
        try:
            os.mkdir(_PATH)
        except OSError:
            pass
        for name in os.listdir(_PATH):
            os.remove(_PATH + "/" + name)
        self.board, self.log = Board(), Log()
        self.settings = Settings(GIVEN)
        self.downlink = Downlink(self.log)
        self.sampled = 0

    async def sample_now(self):
        self.sampled += 1

    def config(self, **members):
        members["device_id"] = "oven-001"
        self.downlink.put_config(json.dumps(members).encode(), False)

    def command(self, command_id):
        members = {"device_id": "oven-001", "id": command_id, "action": "sample_now"}
        self.downlink.put_command(json.dumps(members).encode(), False)

    def handle(self):
        """Process all that can be processed now; gives how many messages."""
        handled = 0
        while self.downlink.is_waiting:
            asyncio.run(processing.handle_next(self))
            handled += 1
        return handled

    def reported(self):
        return json.loads("{" + ",".join(self.downlink.members()) + "}")

    def in_force(self):
        config = self.reported()["config"]
        return config["rev"], config["applied"]


def test_of_many_configs_in_one_instant_the_newest_is_in_force():
    device = Device()
    for rev in range(1, 9):
        device.config(rev=rev, publish_rate_ms=1000 + rev)
    device.command("c1")
    assert device.handle() == 2
    assert device.in_force() == (8, True)
    assert device.settings.publish_rate_ms == 1008
    assert device.reported()["last_command"] == {"id": "c1", "result": "done"}
    assert device.log.lines[0] == "config 8: in force"


def test_what_clears_a_retained_message_is_no_message():
    device = Device()
    device.config(rev=1, publish_rate_ms=2000)
    device.command("c1")
    device.handle()
    before = device.reported()
    device.downlink.put_config(b"", False)
    device.downlink.put_command(b"", False)
    assert device.handle() == 0
    assert device.reported() == before
    assert device.reported()["last_command"] == {"id": "c1", "result": "done"}


def test_a_config_has_room_when_too_many_commands_wait():
    device = Device()
    for number in range(6):
        device.command(f"c{number}")
    device.config(rev=1, publish_rate_ms=300)
    assert device.handle() == 7
    assert device.settings.publish_rate_ms == 300
    assert device.sampled == 4
    answers = [line for line in device.log.lines if "refused busy" in line]
    assert answers == ["command c4: refused busy", "command c5: refused busy"]
    last = {"id": "c5", "result": "refused", "error": "busy"}
    assert device.reported()["last_command"] == last


def test_a_config_that_waits_does_not_confirm_the_trial_of_another():
    device = Device()
    device.config(rev=1, mqtt_broker="dead")
    assert device.handle() == 1
    device.config(rev=2, mqtt_broker="dead", buffer_size=50)
    assert device.handle() == 0
    assert device.downlink.is_on_trial
    processing.with_config(device, lambda config: config.revert())
    assert device.settings.host == "old"
    assert device.handle() == 1  # it has a trial of its own
    assert device.downlink.is_on_trial
    assert "config.json" not in os.listdir(_PATH)


def test_a_config_that_waits_is_applied_when_the_trial_is_confirmed():
    device = Device()
    device.config(rev=1, mqtt_broker="new")
    device.handle()
    device.config(rev=2, mqtt_broker="new", buffer_size=50)
    device.command("c1")
    assert device.handle() == 1  # commands do not wait for the trial
    processing.with_config(device, lambda config: config.confirm())
    assert device.handle() == 1
    assert device.settings.buffer_size == 50
    assert device.in_force() == (2, True)


def test_the_config_in_force_sent_last_replaces_one_that_waits():
    device = Device()
    device.config(publish_rate_ms=300)
    device.handle()
    device.config(publish_rate_ms=400)
    device.config(publish_rate_ms=300)
    assert device.handle() == 0
    assert device.settings.publish_rate_ms == 300


def test_a_config_that_is_too_long_for_the_memory_is_refused_once():
    device = Device()
    device.config(rev=3, publish_rate_ms=300)
    device.handle()
    in_force = device.downlink.crc
    device.downlink.put_config(77, True)  # its CRC-32 is all that the client gives
    assert device.handle() == 1
    error = "no memory for it"
    assert device.reported()["config"] == {
        "rev": 3,
        "applied": False,
        "crc": in_force,
        "error": error,
        "refused": {"crc": 77, "error": error},
    }
    device.downlink.put_config(77, True)  # at the next connection
    assert device.handle() == 0
    assert device.settings.publish_rate_ms == 300


def _handled_with_no_memory_for(times):
    """A device that got a config, and how often it was tried."""
    device, tries = Device(), []
    applied = processing.with_config

    def with_config(*args):
        tries.append(1)
        if len(tries) <= times:
            raise MemoryError
        applied(*args)

    processing.with_config = with_config
    try:
        device.config(rev=3, publish_rate_ms=300)
        assert device.handle() == 1
    finally:
        processing.with_config = applied
    return device, len(tries)


def test_a_config_for_which_there_is_no_memory_for_a_moment_is_in_force():
    device, tries = _handled_with_no_memory_for(times=2)
    assert (tries, device.in_force()) == (3, (3, True))


def test_a_config_for_which_there_is_no_memory_three_times_is_refused():
    device, tries = _handled_with_no_memory_for(times=3)
    assert (tries, device.in_force()) == (3, (0, False))
    assert device.reported()["config"]["error"] == "no memory for it"


def test_a_config_in_force_for_which_there_is_no_memory_any_more_stays():
    device = Device()
    device.config(rev=3, publish_rate_ms=300)
    device.handle()
    device.downlink.put_config(device.downlink.crc, True)
    assert device.handle() == 0
    assert device.in_force() == (3, True)


def test_a_command_that_is_too_long_for_the_memory_is_said_and_the_next_one_executed():
    device = Device()
    device.downlink.put_command(77, False)
    device.command("c1")
    assert device.handle() == 1
    assert device.reported()["last_command"] == {"id": "c1", "result": "done"}
    assert "too long for the memory" in device.log.lines[0]
