"""`hatch run bench-dashboards`: 1,000 devices, 30 days, one message a minute of each.

InfluxDB 1 of this machine is filled, the newest day first, until the days are complete
or a limit of time or disk is reached; then each query of each dashboard is asked as
Grafana asks it. The files are in a temporary folder and are removed.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from egiz_dashboards.__main__ import DIRECTORY
from rig.servers import InfluxDb

_DAY_S = 86_400
_STEPS_IN_A_REQUEST = 10
_WRITERS = 2
_ROUNDS = 3
_RANGES = {"1h": 3600, "24h": 24 * 3600, "7d": 7 * _DAY_S, "30d": 30 * _DAY_S}
# A panel of half the width of a screen has so many points, unless it asks for fewer.
_POINTS = 900
# What Grafana rounds an interval up to, in seconds.
_INTERVALS = (5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, _DAY_S)
_QUERY_TIMEOUT_S = 300.0
# The answer without rows; fields that are not written here have none.
_NO_ROWS_BYTES = 100


class Filler:
    """Writes the fleet's messages; a step is one message of each device."""

    def __init__(self, database: InfluxDb, options: argparse.Namespace) -> None:
        self._url = f"{database.url}/write?db={database.database}&precision=s"
        self._directory = database.directory
        self._options = options
        self._until = time.monotonic() + options.minutes * 60
        self._lock = threading.Lock()
        self._steps = _steps(int(time.time()), options.days, options.every)
        self.written = 0
        # The values of a device change from step to step, as they do in a factory.
        self._variants = [_lines(options.devices, number) for number in range(8)]

    def run(self) -> None:
        """Until everything is written, or a limit is reached."""
        threads = [threading.Thread(target=self._write) for _ in range(_WRITERS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(10)
            print(f"... {self.written:,} messages", flush=True)

    def _write(self) -> None:
        while time.monotonic() < self._until and self._disk_gb() < self._options.gb:
            with self._lock:
                steps = list(itertools.islice(self._steps, _STEPS_IN_A_REQUEST))
            if not steps:
                return
            body = b"".join(
                self._variants[second // self._options.every % 8].replace(
                    b"@", str(second).encode()
                )
                for second in steps
            )
            self._post(body)
            with self._lock:
                self.written += len(steps) * self._options.devices

    def _post(self, body: bytes) -> None:
        """Again, if the database is too busy: it answers 500 after ten seconds."""
        while True:
            try:
                urllib.request.urlopen(self._url, body, timeout=120).close()
            except urllib.error.HTTPError as error:
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                error.close()
                time.sleep(1)
            else:
                return

    def _disk_gb(self) -> float:
        return size_gb(self._directory)


def _steps(now: int, days: int, every: int) -> Iterator[int]:
    """Seconds since 1970, the newest day first, in the order of time within a day."""
    for day in range(days):
        until = now - day * _DAY_S
        yield from range(until - _DAY_S, until, every)


def _lines(devices: int, variant: int) -> bytes:
    """One message of each device, its time left open."""
    return b"".join(
        (
            f"telemetry,device_id=oven-{number:04},device_type=oven,facility=hall-"
            f"{number % 10} {_power(900 + number % 97 + variant)},"
            f"thermal_temperature_zones_0={180 + (number + variant) % 11}.5,"
            f"thermal_setpoint=190,status_wifi_rssi={-60 - (number + variant) % 9}i,"
            'status_operational_state="'
            f'{"fault" if (number + variant) % 40 == 0 else "running"}" @\n'
        ).encode()
        for number in range(devices)
    )


def _power(watts: int) -> str:
    """Of three phases: a panel has a query for each, which a field not there ends."""
    return ",".join(f"electrical_active_power_{phase}={watts}" for phase in "abc")


def size_gb(directory: Path) -> float:
    """What is below it on the disk."""
    sizes = []
    for path in directory.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # compaction has removed it
            continue
    return sum(sizes) / 1e9


def measure(database: InfluxDb, period: str) -> None:
    """Print medians of each panel: seconds, CPU of the database, size of the answer."""
    for name in ("fleet", "lines", "device"):
        board = json.loads((DIRECTORY / f"{name}.json").read_text())
        ranks = dict(_ranks(database, name, board, period))
        for panel in board["panels"]:
            queries = [t["query"] for t in panel.get("targets", []) if "query" in t]
            if not queries:
                continue
            interval = _interval(panel, _RANGES[period])
            chosen = "oven-0500" if name == "device" else ".*"
            text = [_asked(query, period, interval, chosen, ranks) for query in queries]
            asked = _median(database, text)
            if asked.size > len(queries) * _NO_ROWS_BYTES:
                print(f"{period:>4} {f'{name}: ' + panel['title']:32} {asked}")


def _interval(panel: dict[str, object], seconds: int) -> int:
    """The time of a point, as Grafana computes it; the shortest is as "5m"."""
    wanted = seconds / int(str(panel.get("maxDataPoints", _POINTS)))
    shortest = 60 * int(str(panel.get("interval", "0m")).removesuffix("m"))
    return next(one for one in _INTERVALS if one >= max(wanted, shortest))


def _ranks(
    database: InfluxDb, name: str, board: dict[str, Any], period: str
) -> Iterator[tuple[str, str]]:
    """(variable, devices) of each rank; a dashboard asks for them once, when opened."""
    for variable in board["templating"]["list"]:
        if variable.get("hide"):
            query = _asked(variable["query"], period, 60, ".*", {})
            asked = _median(database, [query])
            found = [row["device_id"] for row in database.query(query)]
            if found:
                print(f"{period:>4} {f'{name}: ' + variable['name']:32} {asked}")
            yield variable["name"], f"({'|'.join(found)})"


def _asked(
    query: str, period: str, interval: int, device: str, ranks: dict[str, str]
) -> str:
    values = {f"${name}": devices for name, devices in ranks.items()} | {
        "$timeFilter": f"time >= now() - {period}",
        "$__interval": f"{interval}s",
        "$lines": "20",
        "$facility": ".*",
        "$device_type": ".*",
        "$device_id": device,
    }
    for variable, value in values.items():
        query = query.replace(variable, value)
    return query


class _Asked(NamedTuple):
    """All queries of a panel, one after the other.

    Attributes:
        seconds: until the last answer; on a busy machine, mostly waiting for others.
        cpu: seconds of the database, which do not depend on what else runs.
        size: bytes of the answers.
    """

    seconds: float
    cpu: float
    size: int

    def __str__(self) -> str:
        return f"{self.seconds:6.2f} s {self.cpu:6.2f} s CPU {self.size / 1e3:7.0f} kB"


def _median(database: InfluxDb, queries: list[str]) -> _Asked:
    rounds = [_ask(database, queries) for _ in range(_ROUNDS)]
    return _Asked(
        statistics.median(one.seconds for one in rounds),
        statistics.median(one.cpu for one in rounds),
        rounds[0].size,
    )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ask(database: InfluxDb, queries: list[str]) -> _Asked:
    begun, cpu, size = time.monotonic(), _cpu_s(database.pid), 0
    for query in queries:
        form = urllib.parse.urlencode({"q": query, "db": database.database}).encode()
        url = f"{database.url}/query?epoch=ms"
        with urllib.request.urlopen(url, form, timeout=_QUERY_TIMEOUT_S) as answer:
            size += len(answer.read())
    cpu = _cpu_s(database.pid) - cpu
    return _Asked(time.monotonic() - begun, cpu, size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--every", type=int, default=60, help="seconds between two")
    parser.add_argument("--minutes", type=float, default=30, help="at most, to fill")
    parser.add_argument("--gb", type=float, default=10, help="of disk, at most")
    parser.add_argument("--ranges", nargs="+", choices=_RANGES, default=["1h", "24h"])
    return parser.parse_args()


def main() -> None:
    """Fill, and ask."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        database = InfluxDb(Path(name) / "influxdb")
        database.answers_within_s = int(_QUERY_TIMEOUT_S)
        database.start()
        try:
            begun = time.monotonic()
            filler = Filler(database, options)
            filler.run()
            days = filler.written * options.every / options.devices / _DAY_S
            print(
                f"{options.devices} devices, {days:.1f} days, {filler.written:,}"
                f" messages in {time.monotonic() - begun:.0f} s,"
                f" {size_gb(database.directory):.2f} GB",
                flush=True,
            )
            for period in options.ranges:
                measure(database, period)
                load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
                print(f"load of 1, 5 and 15 minutes: {load}", flush=True)
        finally:
            database.kill()


if __name__ == "__main__":
    main()
