"""CPU time of the contract, against what one would use without it, side by side.

Candidates take turns round by round, so that a noisy machine is noisy to all of them;
ratios are medians over rounds of pairs, not quotients of medians.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import orjson
from egiz_schema import (
    DecodeError,
    Topic,
    decode,
    decode_with_dropped,
    encode,
    influx,
    line_protocol,
    messages,
    models,
    parse_topic,
    wire,
)
from rich.console import Console
from rich.table import Table

ROUNDS = 21
MESSAGES = 2000  # a round; their numbers differ, as those of a device do

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

# A function, and what it is called with.
Candidates = dict[str, tuple[Callable[[Any], object], Sequence[Any]]]


def main() -> None:
    """Measure reading, writing, mapping, repairing, refusing; memory and import."""
    payloads = telemetry(MESSAGES)
    console = Console()
    console.print(f"One telemetry message of {len(payloads[0])} bytes")
    for title, candidates in groups(payloads).items():
        _show(console, title, _measured(candidates))
    for name, reader in (
        ("egiz_schema.decode", decode),
        ("pydantic, the same rules", models.decode),
        ("json", lambda _, payload: json.loads(payload)),
    ):
        used = _bytes_per_message(reader, payloads)
        console.print(f"A message of {name} takes {used:,.0f} bytes of memory")
    bare, ours, theirs = map(_milliseconds_of, ("", "egiz_schema", "pydantic"))
    console.print(
        f"import egiz_schema takes {ours - bare:.0f} ms of CPU, pydantic alone "
        f"{theirs - bare:.0f} ms, beside the {bare:.0f} ms of Python itself"
    )


def telemetry(count: int) -> list[bytes]:
    """Messages that differ in their numbers."""
    return [
        _PAYLOAD.format(time=1706352600 + n, seq=n, volts=220 + n % 100 / 10).encode()
        for n in range(count)
    ]


def groups(payloads: list[bytes]) -> dict[str, Candidates]:
    """What is measured beside each other."""
    return {
        "read and validate": _readers(payloads),
        "write": _writers(payloads),
        "to line protocol": _mappers(payloads),
        "drop what is wrong": _repairers(payloads),
        "refuse": _refusers(payloads),
    }


def _readers(payloads: list[bytes]) -> Candidates:
    bare = msgspec.json.Decoder(messages.Telemetry).decode
    model = models.Telemetry
    topic = parse_topic(TOPIC)
    return {
        "egiz_schema.decode": (partial(decode, topic), payloads),
        "pydantic model_validate_json, the same rules": (
            partial(_validated, topic),
            payloads,
        ),
        "models.decode (all problems, in order)": (
            partial(models.decode, topic),
            payloads,
        ),
        "pydantic model_validate_json, its own rules": (
            model.model_validate_json,
            payloads,
        ),
        "json + pydantic": (lambda p: model.model_validate(json.loads(p)), payloads),
        "orjson + pydantic": (
            lambda p: model.model_validate(orjson.loads(p)),
            payloads,
        ),
        "msgspec, its own rules": (bare, payloads),
        "orjson (validates nothing)": (orjson.loads, payloads),
        "json (validates nothing)": (json.loads, payloads),
    }


def _validated(topic: Topic, payload: bytes) -> models.Telemetry:
    """Pydantic at its quickest: what it does not check is checked as we do."""
    if not wire.shape(payload):  # a name twice, depth, and texts that are not ASCII
        raise AssertionError("the payloads here are plain")
    message = models.Telemetry.model_validate_json(payload)
    status = message.status
    if status is None or status.operational_state is None:
        raise AssertionError("the payloads here have a state")
    if message.device_id != topic.device_id:
        raise AssertionError("the payloads here are of the topic's device")
    return message


def _writers(payloads: list[bytes]) -> Candidates:
    models_ = [models.Telemetry.model_validate_json(p) for p in payloads]
    plain = [json.loads(p) for p in payloads]
    return {
        "egiz_schema.encode (validates)": (
            encode,
            [decode(TOPIC, p) for p in payloads],
        ),
        "pydantic model_dump_json": (
            lambda m: m.model_dump_json(exclude_defaults=True),
            models_,
        ),
        "orjson (validates nothing)": (orjson.dumps, plain),
        "json (validates nothing)": (json.dumps, plain),
    }


def _mappers(payloads: list[bytes]) -> Candidates:
    topic = parse_topic(TOPIC)
    ours = [decode(topic, p) for p in payloads]
    points = [influx.to_point(topic, m, 0) for m in ours]
    return {
        "to_point and to_line": (
            lambda m: influx.to_line(influx.to_point(topic, m, 0)),
            ours,
        ),
        "to_point": (lambda m: influx.to_point(topic, m, 0), ours),
        "to_line": (influx.to_line, points),
        "decode_line (decode, and a line)": (
            lambda p: line_protocol.decode_line(topic, p, 0),
            payloads,
        ),
    }


def _refusers(payloads: list[bytes]) -> Candidates:
    """What costs most: 4096 bytes, each rule at its worst."""
    start = b'{"device_id":"oven-001","zz":'  # no time, so it is refused
    hostile = {
        "half of a message": payloads[0][:200],
        "4096 bytes of brackets": b"[" * 4096,
        "4096 bytes of empty lists": start + b"[" + b"[]," * 1346 + b"1]}",
        "4096 bytes of members": _many_members(),
        "5 MB": b" " * 5_000_000,
    }
    return {name: (_refused, [payload] * MESSAGES) for name, payload in hostile.items()}


def _repairers(payloads: list[bytes]) -> Candidates:
    """A reading that is wrong is dropped, and the others are kept."""
    wrong = [payload.replace(b'"b":229.8', b'"b":99229.8') for payload in payloads]
    return {
        "all readings are right": (partial(_dropped, 0), payloads),
        "a voltage of 99229.8 V": (partial(_dropped, 1), wrong),
    }


def _dropped(expected: int, payload: bytes) -> None:
    _, dropped = decode_with_dropped(TOPIC, payload)
    if len(dropped) != expected:
        raise AssertionError(f"{dropped} were dropped")


def _many_members() -> bytes:
    members = ",".join(f'"{number:x}":1' for number in range(480))
    return ("{" + members + "}").encode().ljust(4096)


def _refused(payload: bytes) -> None:
    try:
        decode(TOPIC, payload)
    except DecodeError:
        return
    raise AssertionError("it was accepted")


def _milliseconds_of(module: str) -> float:
    """CPU time of a process that imports a module and ends, median."""
    command = [sys.executable, "-c", f"import {module}" if module else ""]
    times = []
    for _ in range(ROUNDS):
        begun = _cpu_of_children()
        subprocess.run(command, check=True)
        times.append((_cpu_of_children() - begun) * 1000)
    return statistics.median(times)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measured(candidates: Candidates) -> dict[str, list[float]]:
    """CPU µs per message of each round; what is made is dropped, as in a service."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, (run, items) in candidates.items():
            begun = time.process_time()
            deque(map(run, items), maxlen=0)
            found[name].append((time.process_time() - begun) * 1e6 / len(items))
    return found


def _show(console: Console, title: str, found: dict[str, list[float]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("CPU µs, median", justify="right")
    table.add_column("times the first", justify="right")
    base = next(iter(found.values()))
    for name, times in found.items():
        ratio = statistics.median(t / b for t, b in zip(times, base, strict=True))
        table.add_row(name, f"{statistics.median(times):.2f}", f"{ratio:.2f}")
    console.print(table)


def _bytes_per_message(
    reader: Callable[[str, bytes], object], payloads: list[bytes]
) -> float:
    tracemalloc.start()
    kept = [reader(TOPIC, payload) for payload in payloads]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / len(kept)


if __name__ == "__main__":
    main()
