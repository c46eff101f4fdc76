"""`egiz-bridge bench`: how many messages a second one core can process."""

import json
import statistics
import time
from collections.abc import Callable

import click
from egiz_cli import DONE, command
from rich.console import Console
from rich.table import Table

from egiz_bridge.batch import Batch  # noqa: TC001  # the type of a list
from egiz_bridge.cli.shared import json_option
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt.packets import MQTT_5, Publish
from egiz_bridge.mqtt.reader import PacketReader
from egiz_bridge.pipeline.intake import Intake
from egiz_bridge.sinks.archive import ArchiveTable

_MESSAGES, _DEVICES, _ROUNDS = 20_000, 500, 5
_READ_BYTES = 256 * 1024
_PACKET_MAX = 1024**2


@command(exit_codes={DONE: "printed"})
@json_option
def bench(*, as_json: bool) -> None:
    """Measure the CPU time of a message on this machine.

    Telemetry of three phases and three zones goes from the bytes of the socket to line
    protocol. The write to the database and the operating system need as much again:
    expect half of the rate.
    """
    costs = _measured()
    if as_json:
        click.echo(json.dumps(costs))
        return
    table = Table(box=None)
    table.add_column("stage")
    table.add_column("CPU µs a message", justify="right")
    for stage, cost_us in costs.items():
        table.add_row(stage, f"{cost_us:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{1e6 / sum(costs.values()):,.0f} messages a second for one core")


def _measured() -> dict[str, float]:
    stream = b"".join(_packet(number) for number in range(_MESSAGES))
    chunks = [
        stream[at : at + _READ_BYTES] for at in range(0, len(stream), _READ_BYTES)
    ]
    read: list[list[Publish]] = []
    batches: list[Batch] = []
    intake = Intake(Ledger(), Devices(), batches.append)
    intake.configure([ArchiveTable()])

    def parse() -> None:
        read.clear()
        reader = PacketReader(MQTT_5, _PACKET_MAX)
        read.extend(reader.feed(chunk)[0] for chunk in chunks)

    def decode() -> None:
        batches.clear()
        for packets in read:
            intake.receive(packets, 0)
        intake.flush()

    def join() -> None:
        for batch in batches:
            b"\n".join([row.line for row in batch.rows])

    stages = {"MQTT packets": parse, "decode and line": decode, "body": join}
    return {stage: _median_us(run) for stage, run in stages.items()}


def _median_us(run: Callable[[], None]) -> float:
    costs = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        run()
        costs.append((time.process_time() - begun) * 1e6 / _MESSAGES)
    return statistics.median(costs)


def _packet(number: int) -> bytes:
    device = f"oven-{number % _DEVICES}"
    topic = f"sensors/factory/{device}/telemetry".encode()
    message = {
        "device_id": device,
        "timestamp": 1_700_000_000 + number // _DEVICES,
        "seq": number // _DEVICES,
        "boot": 1,
        "electrical": {
            "voltage": {"a": 229.5, "b": 230.1, "c": 231.25},
            "current": {"a": 15.2, "b": 14.8, "c": 15.5},
            "power_factor": 0.92,
        },
        "thermal": {"temperature_zones": [185.0, 190.5, 188.5], "setpoint": 190.0},
        "status": {"operational_state": "running", "wifi_rssi": -65},
    }
    packet_id = number % 65535 + 1
    body = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + b"\0"
    body += json.dumps(message, separators=(",", ":")).encode()
    return b"\x32" + bytes((len(body) & 127 | 128, len(body) >> 7)) + body
