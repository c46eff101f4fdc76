"""CPU time of the contract: decode, encode, map to line protocol, against `json`."""

import json
import statistics
import time
from collections.abc import Callable

from egiz_schema import decode, encode, influx, parse_topic
from rich.console import Console
from rich.table import Table

ROUNDS = 15
MESSAGES = 2000  # a round; their numbers differ, as those of a device do
BASE = "json.loads"

TOPIC = "sensors/factory/oven-001/telemetry"
_PAYLOAD = (
    '{{"device_id":"oven-001","timestamp":{time},"ms":7,"seq":{seq},"boot":3,'
    '"electrical":{{"voltage":{{"a":{volts},"b":229.8,"c":231.0}},'
    '"current":{{"a":15.2,"b":14.8,"c":15.5}},"power_factor":0.92,"frequency":50.0,'
    '"active_power":{{"a":3210.5,"b":3190.1,"c":3280.0}},'
    '"energy_wh":{{"a":123456,"b":123400,"c":123999}}}},'
    '"thermal":{{"temperature_zones":[185.0,190.0,188.5],"setpoint":190.0}},'
    '"status":{{"operational_state":"running","wifi_rssi":-65,"uptime_seconds":86400}}}}'
)


def main() -> None:
    """Run all candidates in turn, round by round, and print medians."""
    payloads = [
        _PAYLOAD.format(time=1706352600 + n, seq=n, volts=220 + n % 100 / 10).encode()
        for n in range(MESSAGES)
    ]
    messages = [decode(TOPIC, payload) for payload in payloads]
    topic = parse_topic(TOPIC)
    points = [influx.to_point(topic, message, 0) for message in messages]
    candidates: dict[str, Callable[[], object]] = {
        BASE: lambda: [json.loads(payload) for payload in payloads],
        "decode": lambda: [decode(TOPIC, payload) for payload in payloads],
        "encode": lambda: [encode(message) for message in messages],
        "to_point": lambda: [influx.to_point(topic, m, 0) for m in messages],
        "to_line": lambda: [influx.to_line(point) for point in points],
    }
    _show(_measured(candidates), len(payloads[0]))


def _measured(candidates: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """CPU µs per message of each round; candidates take turns, so noise is shared."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            begun = time.process_time()
            run()
            found[name].append((time.process_time() - begun) * 1e6 / MESSAGES)
    return found


def _show(found: dict[str, list[float]], size: int) -> None:
    table = Table(title=f"One telemetry message of {size} bytes", title_justify="left")
    table.add_column("")
    table.add_column("CPU µs, median", justify="right")
    table.add_column(f"of {BASE}", justify="right")
    for name, times in found.items():
        pairs = zip(times, found[BASE], strict=True)
        ratio = statistics.median(mine / base for mine, base in pairs)
        table.add_row(name, f"{statistics.median(times):.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
