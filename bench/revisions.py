"""CPU time of the contract at two revisions: python bench/revisions.py bf3e923 [HEAD].

A process of each takes turns, so that a noisy machine is noisy to both; ratios are
medians over rounds of pairs. A revision is one of git, or ``.``: the files as they are.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROUNDS = 15
SOURCE = "packages/egiz-schema/src"

# Runs in a process of its own, with that revision's package.
_MEASURE = """
import json, time
from collections import deque
from functools import partial
from egiz_schema import decode, line_protocol, parse_topic
payload = (
    '{{"device_id":"oven-001","timestamp":{time},"ms":7,"seq":{seq},"boot":3,'
    '"electrical":{{"voltage":{{"a":{volts},"b":229.8,"c":231.0}},'
    '"current":{{"a":15.2,"b":14.8,"c":15.5}},"power_factor":0.92,"frequency":50.0,'
    '"active_power":{{"a":3210.5,"b":3190.1,"c":3280.0}},'
    '"energy_wh":{{"a":123456,"b":123400,"c":123999}}}},'
    '"thermal":{{"temperature_zones":[185.0,190.0,188.5],"setpoint":190.0}},'
    '"status":{{"operational_state":"running","wifi_rssi":-65,"uptime_seconds":86400}}}}'
)
payloads = [
    payload.format(time=1706352600 + n, seq=n, volts=220 + n % 100 / 10).encode()
    for n in range(5000)
]
newer = getattr(line_protocol, "decode_line_with_dropped", None)
of_bridge = newer or line_protocol.decode_line
topic = parse_topic("sensors/factory/oven-001/telemetry")
found = {}
for name, read in (
    ("decode", partial(decode, topic)),
    ("decode_line", lambda each: line_protocol.decode_line(topic, each, 0)),
    ("what the bridge calls", lambda each: of_bridge(topic, each, 0)),
):
    deque(map(read, payloads[:500]), maxlen=0)
    times = []
    for _ in range(5):
        begun = time.process_time()
        deque(map(read, payloads), maxlen=0)
        times.append((time.process_time() - begun) * 1e6 / len(payloads))
    found[name] = min(times)
print(json.dumps(found))
"""


def main() -> None:
    """Measure both, and print a line for each function."""
    before, after = [*sys.argv[1:], "."][:2]
    with TemporaryDirectory() as directory:
        sources = [_source(each, Path(directory) / each) for each in (before, after)]
        rounds = [[_measured(source) for source in sources] for _ in range(ROUNDS)]
    for name in rounds[0][0]:
        pairs = [(old[name], new[name]) for old, new in rounds]
        old, new = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name}: {before} {old:.2f} µs, {after} {new:.2f} µs: {ratio:.2f} times")


def _source(revision: str, directory: Path) -> Path:
    if revision == ".":
        return Path(SOURCE)
    command = ["git", "archive", revision, SOURCE]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
    return directory / SOURCE


def _measured(source: Path) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        check=True,
        capture_output=True,
        env=environment,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
