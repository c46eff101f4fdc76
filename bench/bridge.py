"""The bridge against its peers: the same broker, database and messages, in turn.

Each peer gets a session of its own, in which messages are queued while it is away; then
it is started, and must store and acknowledge them all. What starting costs is measured
without messages, and taken off. The database is asked whether it holds every point.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table
from rig.bridge import Bridge
from rig.process import own_program, require
from rig.servers import Mosquitto, VictoriaMetrics
from rig.waiting import eventually

MESSAGES = 60_000
DEVICES = 1000
ROUNDS = 3
TIMEOUT_S = 300
_ASK_EVERY_S = 0.1  # asking costs the bridge a millisecond

_PAYLOAD = (
    '{{"device_id":"oven-{unit}","timestamp":{time},"ms":7,"seq":{seq},"boot":3,'
    '"electrical":{{"voltage":{{"a":220.5,"b":229.8,"c":231.0}},'
    '"current":{{"a":15.2,"b":14.8,"c":15.5}},"power_factor":0.92}},'
    '"thermal":{{"temperature_zones":[185.0,190.0,188.5],"setpoint":190.0}},'
    '"status":{{"operational_state":"running","wifi_rssi":-65,"uptime_seconds":86400}}}}'
)


class Cost(NamedTuple):
    """Of a run: wall and CPU seconds, peak resident MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Rig(NamedTuple):
    """What the peers share."""

    broker: Mosquitto
    database: VictoriaMetrics
    directory: Path


class Running(NamedTuple):
    """A peer at work; one that does not end by itself tells when it is done."""

    process: subprocess.Popen[bytes]
    is_done: Callable[[], bool] | None = None


# Stores and acknowledges so many queued messages.
Peer = Callable[[Rig, int], Running]


def main() -> None:
    """Run each peer in turn, round by round; print medians."""
    peers: dict[str, Peer] = {
        "mosquitto_sub (stores nothing)": _nothing,
        "egiz-bridge": _bridge,
        "paho + influxdb-client": _script,
    }
    found: dict[str, list[Cost]] = {name: [] for name in peers}
    for round_ in range(ROUNDS):
        for name, peer in peers.items():
            print(f"round {round_ + 1} of {ROUNDS}: {name}", file=sys.stderr)
            with _rig() as rig:
                found[name].append(_measured(rig, peer, stores=peer is not _nothing))
    _show(found)


def _measured(rig: Rig, peer: Peer, *, stores: bool) -> Cost:
    start = _cost(peer(rig, 0))  # also makes the session
    _publish(rig.broker)
    whole = _cost(peer(rig, MESSAGES))
    if stores:
        eventually(lambda: _stored(rig.database) == MESSAGES, timeout=30)
    return Cost(whole.wall_s - start.wall_s, whole.cpu_s - start.cpu_s, whole.peak_mib)


def _cost(running: Running) -> Cost:
    process, is_done = running
    begun = time.monotonic()
    peak_mib = 0.0
    while not (is_done() if is_done else _has_ended(process.pid)):
        peak_mib = max(peak_mib, _resident_mib(process.pid))
        time.sleep(_ASK_EVERY_S)
    wall_s = time.monotonic() - begun
    if is_done:
        process.terminate()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.args
    return Cost(wall_s, used.ru_utime + used.ru_stime, peak_mib)


def _has_ended(pid: int) -> bool:
    """Without reaping it: what it used is asked for afterwards."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None


def _resident_mib(pid: int) -> float:
    # Not ru_maxrss: on Linux that begins with the memory of whoever started it.
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def _rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        directory = Path(name)
        broker = Mosquitto(directory / "mosquitto")
        database = VictoriaMetrics(directory / "victoriametrics")
        for server in (broker, database):
            server.start()
        try:
            yield Rig(broker, database, directory)
        finally:
            for server in (broker, database):
                server.kill()


def _publish(broker: Mosquitto) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "publisher")
    client.max_inflight_messages_set(1000)
    client.connect(broker.host, broker.port)
    client.loop_start()
    eventually(client.is_connected)
    now = int(time.time()) - MESSAGES // DEVICES
    for number in range(MESSAGES):
        unit, seq = number % DEVICES, number // DEVICES
        payload = _PAYLOAD.format(unit=unit, time=now + seq, seq=seq)
        last = client.publish(f"sensors/factory/oven-{unit}/telemetry", payload, 1)
    last.wait_for_publish(TIMEOUT_S)
    client.disconnect()
    client.loop_stop()


def _stored(database: VictoriaMetrics) -> int:
    series = database.series('{__name__="telemetry_seq"}')
    return sum(len(one["values"]) for one in series)


def _nothing(rig: Rig, messages: int) -> Running:
    program = require("mosquitto_sub", "apt install mosquitto-clients")
    where = ("-h", rig.broker.host, "-p", str(rig.broker.port))
    session = ("-c", "-i", "peer", "-q", "1", "-t", "sensors/#")
    until = ("-C", str(messages)) if messages else ("-E",)
    command = [program, *where, *session, *until]
    return Running(subprocess.Popen(command, stdout=subprocess.DEVNULL))


def _script(rig: Rig, messages: int) -> Running:
    script = Path(__file__).parent / "peers" / "paho_influx.py"
    arguments = (str(rig.broker.port), rig.database.url, str(messages))
    return Running(subprocess.Popen([sys.executable, str(script), *arguments]))


def _bridge(rig: Rig, messages: int) -> Running:
    table = {"url": rig.database.url, "org": "egiz", "bucket": "factory"}
    bridge = Bridge(
        rig.directory / f"bridge-{messages}", rig.broker.url, influxdb=table
    )

    def is_done() -> bool:
        with contextlib.suppress(OSError):
            told = bridge.metrics()
            acknowledged = told["messages_acknowledged_total"]
            return bool(told["mqtt_connected"] and acknowledged >= messages)
        return False

    command = [own_program("egiz-bridge"), "run", "--config", str(bridge.config)]
    log = (bridge.directory / "log").open("wb")
    with log:
        return Running(subprocess.Popen(command, stderr=log, stdout=log), is_done)


def _show(found: dict[str, list[Cost]]) -> None:
    table = Table(title=f"{MESSAGES:,} messages of {DEVICES:,} devices, median")
    table.add_column("")
    for column in ("messages/s", "CPU µs a message", "peak MiB"):
        table.add_column(column, justify="right")
    for name, costs in found.items():
        wall, cpu, peak = (statistics.median(c[i] for c in costs) for i in range(3))
        rate, each = MESSAGES / wall, cpu * 1e6 / MESSAGES
        table.add_row(name, f"{rate:,.0f}", f"{each:.1f}", f"{peak:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
