"""`hatch run bench-broker`: 1,000 devices with certificates, 10,000 messages a second.

The shipped configuration, egiz-bridge on it with an account, VictoriaMetrics behind it;
all on this machine, with the load. Then the bridge is stopped for as long as the limits
allow, and started again. Then a device is revoked while all are connected.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.shared import Rig
from egiz_infra.authority import Subject
from egiz_infra.limits import Load, derive
from egiz_infra.probe import Probe
from rig.bridge import Bridge
from rig.secure import SecureMosquitto
from rig.servers import VictoriaMetrics

_TICKS_PER_S = 100  # of /proc/PID/stat
_STORED_TIMEOUT_S = 120.0


class Bench:
    """Broker, bridge and database; they live in one directory."""

    def __init__(self, directory: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.broker = SecureMosquitto(directory / "broker")
        _print_progress(f"{options.clients} certificates")
        names = [f"oven-{number}" for number in range(options.clients)]
        subjects = [Subject("device", name, "factory") for name in names]
        self.pairs = [self.broker.pair(subject) for subject in subjects]
        self.database = VictoriaMetrics(directory / "database")
        self.bridge = Bridge(directory / "bridge", "", **self._tables())
        self.sent = 0
        self.seconds = 0.0
        self.dropped = 0

    def start(self) -> None:
        """Everything, and the fleet, connected."""
        self.broker.start()
        self.database.start()
        self.bridge.start()
        self.exporter = Probe(self.broker.account("exporter"))
        self.exporter.subscribe("$SYS/broker/publish/messages/dropped")

    def fleet(self, seconds: float) -> "subprocess.Popen[str]":
        """Connect the devices; each line that is written to them is a round."""
        self.seconds = seconds
        ca = self.broker.layout.broker / "ca.pem"
        given = (self.broker.device_port, ca, self.options.rate, seconds, *self.pairs)
        return subprocess.Popen(
            [sys.executable, "-m", "broker.fleet", *map(str, given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self, fleet: "subprocess.Popen[str]") -> dict[str, float]:
        """One round of the fleet, and what it cost the broker."""
        assert fleet.stdin is not None
        begun, cpu = time.monotonic(), self._cpu_s()
        fleet.stdin.write("\n")
        fleet.stdin.flush()
        figures = _read_figures(fleet)
        figures["rate"] = figures["sent"] / self.seconds
        seconds = time.monotonic() - begun
        self.sent += int(figures["sent"])
        figures["drained_in_s"] = seconds - self.seconds
        figures["broker_cpu_us"] = (self._cpu_s() - cpu) / figures["sent"] * 1e6
        figures["broker_mb"] = self.memory_mb()
        return figures

    def memory_mb(self) -> float:
        """Resident memory of the broker, in 10^6 bytes."""
        status = Path(f"/proc/{self.broker.pid}/status").read_text()
        line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
        return int(line.split()[1]) * 1024 / 1e6

    def wait_until_stored(self) -> dict[str, float]:
        """What the database holds, once it is everything, and what was dropped."""
        rig = Rig(self.broker, self.database, self.database.url, Path())
        stored = rig.stored_at_last(self.sent, _STORED_TIMEOUT_S)
        for _ in range(50):
            self.exporter.turn()
        if self.exporter.received:
            self.dropped = int(self.exporter.received[-1].payload)
        return {"sent": self.sent, "stored": stored, "dropped": self.dropped}

    def close(self) -> None:
        """End all of it."""
        self.bridge.kill()
        for server in (self.broker, self.database):
            server.kill()

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.broker.pid}/stat").read_text().split()
        return (int(fields[13]) + int(fields[14])) / _TICKS_PER_S

    def _tables(self) -> dict[str, Any]:
        password = self.broker.layout.secrets / "bridge"
        mqtt = {"url": self.broker.url, "username": "bridge"}
        influxdb = {"url": self.database.url, "org": "egiz", "bucket": "factory"}
        return {"mqtt": mqtt | {"password_file": str(password)}, "influxdb": influxdb}


def main() -> None:
    """Measure and print."""
    options = _options()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        bench = Bench(Path(name), options)
        try:
            bench.start()
            _measure(bench, lambda what, figures: _keep(found, what, figures))
        finally:
            bench.close()
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _measure(bench: Bench, keep: Callable[[str, dict[str, float]], None]) -> None:
    options = bench.options
    with bench.fleet(options.seconds) as fleet:
        keep("connecting", _read_figures(fleet) | {"broker_mb": bench.memory_mb()})
        keep("steady", bench.round(fleet) | bench.wait_until_stored())
        _revoke(bench, keep)
        fleet.kill()
    if options.outage:
        with bench.fleet(options.outage) as fleet:
            _read_figures(fleet)
            bench.bridge.stop()
            keep("bridge stopped", bench.round(fleet) | {"predicted_mb": _predicted()})
            begun = time.monotonic()
            bench.bridge.start()
            keep("bridge started", bench.wait_until_stored())
            keep("bridge started", {"seconds": time.monotonic() - begun})
            fleet.kill()


def _predicted() -> float:
    return derive(Load()).memory / 1e6


def _revoke(bench: Bench, keep: Callable[[str, dict[str, float]], None]) -> None:
    output = bench.broker.infra("revoke", bench.pairs.pop().stem)
    steps = [line.split(" s ") for line in output.splitlines()]
    keep("revocation", {what.strip(): float(seconds) for seconds, what in steps})


def _read_figures(fleet: "subprocess.Popen[str]") -> dict[str, float]:
    assert fleet.stdout is not None
    figures: dict[str, float] = json.loads(fleet.stdout.readline())
    return figures


def _keep(
    found: dict[str, dict[str, float]], what: str, figures: dict[str, float]
) -> None:
    found.setdefault(what, {}).update(figures)
    text = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
    print(f"{what}: {text}", flush=True)


def _print_progress(what: str) -> None:
    print(what, file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hatch run bench-broker", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=10_000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--outage", type=float, default=25.0, help="0 leaves it out")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
