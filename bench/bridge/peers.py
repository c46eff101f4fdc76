"""How each peer is started, and how one knows that it is done."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rig.bridge import Bridge
from rig.process import own_program, require

from bridge import telegraf
from bridge.shared import Rig

ENDLESS = 10**9
_numbers = itertools.count()


class Running(NamedTuple):
    """A peer at work; one that does not end by itself reports when it is done."""

    process: subprocess.Popen[bytes]
    is_done: Callable[[], bool] | None = None


class Peer(NamedTuple):
    """`start(rig, messages)` stores and acknowledges so many queued messages.

    With 0 it subscribes, which makes the session; with ENDLESS it goes on.
    """

    name: str
    start: Callable[[Rig, int], Running]
    stores: bool = True


def peers() -> list[Peer]:
    """Those that can be had here; the first is the ceiling."""
    found = [
        Peer("mosquitto_sub (stores nothing)", _nothing, stores=False),
        Peer("egiz-bridge", _bridge),
        Peer("paho + influxdb-client", _script),
    ]
    if program := telegraf.build():
        found.append(Peer(telegraf.version(program), _telegraf_of(program)))
    return found


def _nothing(rig: Rig, messages: int) -> Running:
    program = require("mosquitto_sub", "apt install mosquitto-clients")
    where = ("-h", rig.broker.host, "-p", str(rig.broker.port))
    session = ("-c", "-i", "peer", "-q", "1", "-t", "sensors/#")
    until = ("-C", str(messages)) if messages else ("-E",)
    command = [program, *where, *session, *until]
    return Running(subprocess.Popen(command, stdout=subprocess.DEVNULL))


def _script(rig: Rig, messages: int) -> Running:
    script = Path(__file__).parent / "paho_influx.py"
    arguments = (str(rig.broker.port), rig.database_url, str(messages))
    return Running(subprocess.Popen([sys.executable, str(script), *arguments]))


def _bridge(rig: Rig, messages: int) -> Running:
    directory = rig.directory / f"bridge-{next(_numbers)}"
    table = {"url": rig.database_url, "org": "egiz", "bucket": "factory"}
    # Of one spool in all runs: it belongs to the peer, as the session does.
    spool = {"path": str(rig.directory / "spool.sqlite")}
    bridge = Bridge(directory, rig.broker.url, influxdb=table, spool=spool)

    def is_done() -> bool:
        with contextlib.suppress(OSError):
            metrics = bridge.metrics()
            acknowledged = metrics["messages_acknowledged_total"]
            return bool(metrics["mqtt_connected"] and acknowledged >= messages)
        return False

    command = [own_program("egiz-bridge"), "run", "--config", str(bridge.config)]
    with (directory / "log").open("wb") as log:
        return Running(subprocess.Popen(command, stderr=log, stdout=log), is_done)


def _telegraf_of(program: Path) -> Callable[[Rig, int], Running]:
    def start(rig: Rig, messages: int) -> Running:
        environment = {
            **os.environ,
            "MQTT_SERVER": f"tcp://{rig.broker.host}:{rig.broker.port}",
            "INFLUX_URL": rig.database_url,
            # As egiz-bridge does for a database on the same machine.
            "INFLUX_ENCODING": "identity",
        }
        log = rig.directory / f"telegraf-{next(_numbers)}"
        arguments = ("--strict-env-handling", "--config", str(telegraf.CONFIG))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, *arguments], env=environment, stdout=output, stderr=output
            )

        def is_done() -> bool:
            if not messages:  # it says nothing of a connection, so the broker is asked
                return "as telegraf" in rig.broker.log
            return rig.stored() >= messages

        return Running(process, is_done)

    return start
