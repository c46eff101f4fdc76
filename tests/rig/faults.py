"""Faults of a day: each lasts for so many seconds of virtual time, then it is over."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from egiz_edge_tools.hardware import Hardware, Trouble
from egiz_schema import Alert, Command, Config, Topic, encode
from paho.mqtt.enums import CallbackAPIVersion

from rig.device import DEVICE
from rig.factory_names import FactoryNames
from rig.live import LiveSubscriber
from rig.process import free_port
from rig.servers import Mosquitto
from rig.time_server import TimeServer
from rig.virtual_day import VirtualDay

CONFIG, COMMAND = (Topic("factory", DEVICE, kind) for kind in ("config", "command"))
SILENT_MS = 100  # of real time, where no answer is due


@dataclass
class World:
    """All that a fault can change."""

    day: VirtualDay
    broker: Mosquitto
    live: LiveSubscriber
    names: FactoryNames
    times: TimeServer
    hardware: Hardware
    rev: int = 0

    def config(self, **members: Any) -> None:
        """Publish the next revision, retained."""
        self.rev += 1
        payload = encode(Config(device_id=DEVICE, rev=self.rev, **members))
        self.live.publish(CONFIG, payload, retain=True)

    def command(self, command_id: str, action: str, **more: Any) -> None:
        """Publish a command."""
        command = Command(device_id=DEVICE, id=command_id, action=action, **more)
        self.live.publish(COMMAND, encode(command))

    def restart_broker(self) -> None:
        """All its sessions end."""
        self.broker.stop()
        self.broker.start()

    def put_wifi(self, is_there: bool) -> None:
        """Where it goes, so do connections: the virtual board's would outlive it."""
        self.hardware.has_wifi = is_there
        self.day.change_world()
        if not is_there:
            self.restart_broker()


Fault = Callable[[World, int], None]


def _name_servers_are_silent(world: World, seconds: int) -> None:
    world.names.is_silent = True
    world.restart_broker()
    world.day.run(seconds)
    world.names.is_silent = False


def _time_server(mode: str) -> Fault:
    """Until after a boot with a clock that is not set."""

    def fault(world: World, seconds: int) -> None:
        world.times.mode = mode
        world.hardware.is_clock_set = False
        world.day.cut_power(20)
        world.day.run(seconds - 20, SILENT_MS * 5)
        world.times.mode = "right"

    return fault


def _time_server_lies_later(world: World, seconds: int) -> None:
    world.times.mode = "lies"
    world.day.run(seconds)
    world.times.mode = "right"


def _broker_is_down(world: World, seconds: int) -> None:
    world.broker.stop()
    world.day.run(seconds)
    world.broker.start()


def _broker_hangs(world: World, seconds: int) -> None:
    os.kill(world.broker.pid, signal.SIGSTOP)
    world.day.run(min(seconds, 300), SILENT_MS)
    os.kill(world.broker.pid, signal.SIGCONT)
    world.day.run(seconds - min(seconds, 300))


def _wifi_is_away(world: World, seconds: int) -> None:
    world.put_wifi(False)
    world.day.run(seconds)
    world.put_wifi(True)


def _wifi_comes_and_goes(world: World, seconds: int) -> None:
    for number in range(seconds // 30):
        world.put_wifi(number % 2 == 1)
        world.day.run(30)
    world.put_wifi(True)


def _a_meter_is_damaged(world: World, seconds: int) -> None:
    world.hardware.meters[1].trouble = Trouble.TRUNCATED
    world.day.run(seconds)
    world.hardware.meters[1].trouble = Trouble.NONE


def _all_meters_are_silent(world: World, seconds: int) -> None:
    for meter in world.hardware.meters.values():
        meter.trouble = Trouble.SILENT
    world.day.run(10, SILENT_MS)
    for meter in world.hardware.meters.values():
        meter.trouble = Trouble.GARBLED  # real time passes only while one is silent
    world.day.run(seconds - 10)
    for meter in world.hardware.meters.values():
        meter.trouble = Trouble.NONE


def _the_line_is_shorted(world: World, seconds: int) -> None:
    world.hardware.is_shorted = True
    world.day.run(seconds)
    world.hardware.is_shorted = False


def _thermometers_fail(world: World, seconds: int) -> None:
    one, other = world.hardware.thermometers.values()
    one.trouble, other.trouble = Trouble.SILENT, Trouble.RESTARTED
    world.day.run(seconds)
    one.trouble = other.trouble = Trouble.NONE


def _configs_in_a_row(world: World, seconds: int) -> None:
    for size in range(40, 48):
        world.config(buffer_size=size)
    world.live.publish(CONFIG, b"x" * 5000, retain=True)
    world.live.publish(CONFIG, b'{"device_id":1}', retain=True)
    world.day.run(60)
    world.config(alerts={"electrical_voltage_a": Alert(min=10, max=250)})
    world.day.run(seconds - 60)
    world.config()


def _configs_that_name_a_dead_broker(world: World, seconds: int) -> None:
    dead = f"127.0.0.1:{free_port()}"
    world.config(mqtt_broker=dead)
    world.config(mqtt_broker=dead, report_rate_ms=30000)
    world.day.run(max(seconds, 250))  # each is on trial for two minutes
    world.config()


def _a_config_of_an_absent_network(world: World, seconds: int) -> None:
    world.config(wifi_ssid="Nowhere")
    world.day.run(seconds)
    world.config()


def _a_config_of_other_zones_and_periods(world: World, seconds: int) -> None:
    roms = enumerate(world.hardware.thermometers)
    zones = {rom.hex(): f"zone {9 - number}" for number, rom in roms}
    world.config(zones=zones, publish_rate_ms=7000, report_rate_ms=20000)
    world.day.run(seconds)
    world.config()


def _another_device_with_its_id(world: World, seconds: int) -> None:
    for _ in range(6):
        other = paho.Client(CallbackAPIVersion.VERSION2, DEVICE)
        connected = threading.Event()
        other.on_connect = lambda *_, said=connected: said.set()
        other.connect(world.broker.host, world.broker.port)
        other.loop_start()
        assert connected.wait(60)
        other.disconnect()
        other.loop_stop()
        world.day.run(20)
    world.day.run(seconds - 120)


def _commands_without_end(world: World, seconds: int) -> None:
    for number in range(20):
        world.command(f"flood-{world.rev}-{number}", "sample_now")
    world.live.publish(COMMAND, b'{"device_id":7,"id":[],"action":{}}')
    world.live.publish(COMMAND, b"\xff" * 4000)
    world.command(f"late-{world.rev}", "identify", expires_at=1_600_000_000)
    world.day.run(seconds)


def _power_cut(world: World, seconds: int) -> None:
    world.day.cut_power(60)
    world.day.run(seconds - 60)


def _power_cut_while_the_broker_is_down(world: World, seconds: int) -> None:
    world.broker.stop()
    world.day.run(seconds // 3)
    world.day.cut_power(5)
    world.day.run(seconds - seconds // 3 - 5)
    world.broker.start()


def _power_cut_with_the_clock_lost_and_no_names(world: World, seconds: int) -> None:
    world.hardware.is_clock_set = False
    world.names.is_silent = True
    world.day.cut_power(60)
    world.day.run(seconds - 60)
    world.names.is_silent = False


def _power_cuts_in_a_row(world: World, seconds: int) -> None:
    for on_s in (1, 2, 3, 5, 8, 13):
        world.day.cut_power(5)
        world.day.run(on_s)
    world.day.run(seconds - 62)


def _power_cut_during_a_trial(world: World, seconds: int) -> None:
    world.config(mqtt_broker=f"127.0.0.1:{free_port()}")
    world.day.run(20)
    world.day.cut_power(10)
    world.day.run(seconds - 30)
    world.config()


def _all_at_once(world: World, seconds: int) -> None:
    world.hardware.is_shorted = world.names.is_silent = True
    world.hardware.is_clock_set = False
    world.hardware.meters[2].trouble = Trouble.SLIPPED
    world.times.mode = "silent"
    world.broker.stop()
    world.day.cut_power(30)
    world.day.run(seconds - 30, SILENT_MS * 5)
    world.broker.start()
    world.times.mode = "right"
    world.hardware.meters[2].trouble = Trouble.NONE
    world.hardware.is_shorted = world.names.is_silent = False


# What the device must say of it: a fault code or a line of its console.
ONE_OF_EACH: dict[str, tuple[Fault, str]] = {
    "names": (_name_servers_are_silent, "trying its last good address"),
    "time": (_time_server("refuses"), "kiss of death"),
    "broker": (_broker_is_down, "no broker ("),
    "wifi": (_wifi_is_away, "Wi-Fi: no network"),
    "meters": (_all_meters_are_silent, "pzem_b:no_reply"),
    "line": (_the_line_is_shorted, "zone_1:shorted"),
    "configs": (_configs_that_name_a_dead_broker, "no broker within 120 s"),
    "commands": (_commands_without_end, "a command is refused"),
    "power": (_power_cut_while_the_broker_is_down, "connected"),
}
OTHERS: dict[str, tuple[Fault, str]] = {
    "time silent": (_time_server("silent"), "no reply in time"),
    "time lies": (_time_server_lies_later, ""),
    "broker hangs": (_broker_hangs, "in time"),
    "wifi comes and goes": (_wifi_comes_and_goes, "Wi-Fi: no network"),
    "meter": (_a_meter_is_damaged, "pzem_a:"),
    "thermometers": (_thermometers_fail, "zone_0:no_reply"),
    "many configs": (_configs_in_a_row, "device_id: not a text"),
    "zones": (_a_config_of_other_zones_and_periods, "in force"),
    "identity": (_another_device_with_its_id, "closes one session after another"),
    "network": (_a_config_of_an_absent_network, "no broker within"),
    "power cut": (_power_cut, "connected"),
    "power cuts": (_power_cuts_in_a_row, "connected"),
    "power, clock, names": (
        _power_cut_with_the_clock_lost_and_no_names,
        "trying its last good address",
    ),
    "power, trial": (_power_cut_during_a_trial, "no broker within"),
    "all": (_all_at_once, "zone_0:shorted"),
}
