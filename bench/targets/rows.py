"""One measurement for each group of rows; real Mosquitto, InfluxDB 1 and firmware."""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge import latency, reconnects
from rig.bridge import Bridge
from rig.process import own_program
from rig.servers import InfluxDb, Mosquitto

_REQUESTS = "sink_request_seconds_bucket/"
_SINK = "influxdb"
_STANDSTILL_S = 2.0
_RESTART_AFTER = 0.4  # of the load with an outage of the broker
# The requirements.
_CLIENTS = 1000
_BROKER_MB = 512
_WRITE_MS = 100
_STORED_MS = 5000
_READING_MS = 1000
_RECONNECT_S = 10
_DELIVERED_PERCENT = 99.9


class Row(NamedTuple):
    """A requirement, and what was measured."""

    name: str
    target: str
    measured: str
    is_met: bool


class Plant:
    """Broker, bridge and database, all new, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.broker = Mosquitto(directory / "broker")
        self.database = InfluxDb(directory / "database")
        self._report = directory / "report.json"
        for server in (self.broker, self.database):
            server.start()
        tables = {"influxdb": self.database.table}
        self.bridge = Bridge(directory / "bridge", self.broker.url, **tables)
        self.bridge.start()

    def load(
        self, devices: int, rate: int, seconds: float, *, is_queried: bool = True
    ) -> "subprocess.Popen[bytes]":
        """Start one, which queries the database meanwhile; `report` waits for it."""
        database = self.database
        given: dict[str, object] = {
            "broker": self.broker.url,
            "devices": devices,
            "rate": rate,
            "seconds": seconds,
            "report": self._report,
            "drain": 20,
        }
        if is_queried:
            store = f"influxdb1://{database.host}:{database.port}/{database.database}"
            given["database"] = store
        options = [f"--{name}={value}" for name, value in given.items()]
        command = [own_program("egiz-sim"), "load", *options]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def report(self, load: "subprocess.Popen[bytes]") -> dict[str, Any]:
        """What became of its messages."""
        load.wait()
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found

    def stored(self, expected: int) -> int:
        """How many messages the database has, once no more come."""
        found = before = -1
        while found < expected:
            (row,) = self.database.query("SELECT count(seq) FROM telemetry") or [{}]
            found = int(row.get("count", 0))
            if found == before:
                break
            before = found
            time.sleep(_STANDSTILL_S)
        return found

    def broker_mb(self) -> float:
        """The most that the broker has had resident, in 10^6 bytes."""
        status = Path(f"/proc/{self.broker.pid}/status").read_text()
        line = next(one for one in status.splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6

    def write_p99_ms(self) -> float:
        """Within which 99 of 100 writes were answered: a bound of the histogram."""
        buckets = {}
        for name, count in self.bridge.metrics().items():
            if name.startswith(_REQUESTS):
                labels = set(name.removeprefix(_REQUESTS).split("/")) - {_SINK}
                buckets[float(labels.pop())] = count
        wanted = 0.99 * max(buckets.values())
        return 1000 * min(bound for bound, count in buckets.items() if count >= wanted)

    def close(self) -> None:
        """End all of it."""
        self.bridge.kill()
        for server in (self.broker, self.database):
            server.kill()


def of_throughput(devices: int, rate: int, seconds: float) -> list[Row]:
    """As much as is wanted, and how much of it is in the database at the end."""
    with _plant() as plant:
        found = plant.report(plant.load(devices, rate, seconds, is_queried=False))
        memory, stored = plant.broker_mb(), plant.stored(found["sent"])
    sent = found["sent"]
    throughput = f"{sent:,} sent in {seconds:g} s, {stored:,} of them in InfluxDB"
    return [
        Row(
            "concurrent MQTT clients",
            f"{_CLIENTS:,}",
            f"{devices:,}",
            devices >= _CLIENTS,
        ),
        Row("throughput", f"{rate:,} messages/s", throughput, stored == sent),
        _below("memory of the broker", _BROKER_MB, "MB", round(memory)),
    ]


def of_latency(devices: int, rate: int, seconds: float) -> list[Row]:
    """Until a query shows a message; the queries are a load of the database, too."""
    with _plant() as plant:
        found = plant.report(plant.load(devices, rate, seconds))
        write_ms = plant.write_p99_ms()
    query_ms = found["stages"]["queryable"]["since_due_ms"]["p99"]
    at = f"at {rate:,} messages/s, p99"
    return [
        _below(f"a write to InfluxDB {at}, at most", _WRITE_MS, "ms", write_ms),
        _below(f"until a query shows it {at}", _STORED_MS, "ms", round(query_ms)),
    ]


def of_outage(devices: int, rate: int, seconds: float) -> list[Row]:
    """The broker is restarted in the middle: what arrives of all that was sent."""
    with _plant() as plant:
        load = plant.load(devices, rate, seconds)
        time.sleep(_RESTART_AFTER * seconds)
        plant.broker.stop()
        plant.broker.start()
        found = plant.report(load)
    share = 100 * found["database"]["found"] / found["sent"]
    return [
        Row(
            "delivery over a restart of the broker, QoS 1",
            f"> {_DELIVERED_PERCENT} %",
            f"{share:.3f} % of {found['sent']:,}",
            share > _DELIVERED_PERCENT,
        )
    ]


def of_firmware(seconds: float, rounds: int) -> list[Row]:
    """The firmware on a virtual board."""
    ages = latency.measure(seconds)
    back = reconnects.measure(rounds)
    age, again = f"of {ages.messages} messages", f"of {back.rounds}"
    return [
        _below(
            f"firmware: reading until a subscriber has it, p99 {age}",
            _READING_MS,
            "ms",
            round(ages.p99_ms),
        ),
        _below(
            f"firmware: back after an outage, the longest {again}",
            _RECONNECT_S,
            "s",
            round(back.most_s, 1),
        ),
    ]


def _below(name: str, limit: float, unit: str, value: float) -> Row:
    return Row(name, f"≤ {limit:,} {unit}", f"{value:,} {unit}", value <= limit)


@contextlib.contextmanager
def _plant() -> Iterator[Plant]:
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        plant = Plant(Path(name))
        try:
            yield plant
        finally:
            plant.close()
