"""What the peers share in one measurement: a broker and a database, both new."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rig.servers import Mosquitto, VictoriaMetrics

_COUNT = 'sum(count_over_time({__name__="telemetry_seq"}[1h]))'


class Rig(NamedTuple):
    """Broker, database, and a directory for a peer's files.

    `database_url` is where the peers write: to the database, or to what stands before.
    """

    broker: Mosquitto
    database: VictoriaMetrics
    database_url: str
    directory: Path

    def stored(self) -> int:
        """How many messages the database holds: points, not writes."""
        self.database.get("/internal/force_flush")
        found = json.loads(self.database.get("/api/v1/query", query=_COUNT))["data"][
            "result"
        ]
        return int(found[0]["value"][1]) if found else 0

    def load(self, rate: int, seconds: float) -> subprocess.Popen[str]:
        """Start a steady load; its last line is how many were sent."""
        arguments = map(str, (self.broker.port, rate, seconds))
        command = [sys.executable, "-m", "rig.load", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def stored_at_last(self, expected: int, timeout_s: float) -> int:
        """How many are stored, once it is as many as expected or no more come."""
        until = time.monotonic() + timeout_s
        while (found := self.stored()) < expected and time.monotonic() < until:
            time.sleep(0.5)
        return found


@contextlib.contextmanager
def fresh_rig() -> Iterator[Rig]:
    """A rig that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        directory = Path(name)
        broker = Mosquitto(directory / "mosquitto")
        database = VictoriaMetrics(directory / "victoriametrics")
        for server in (broker, database):
            server.start()
        try:
            yield Rig(broker, database, database.url, directory)
        finally:
            for server in (broker, database):
                server.kill()


def cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads, to the nanosecond.

    That is what clock_getcpuclockid(3) makes of a process id; /proc counts in 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)
