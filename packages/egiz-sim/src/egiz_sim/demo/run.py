"""The demo from start to balanced ledger."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from egiz_sim.demo.archive import ArchiveReader
from egiz_sim.demo.interrupt import Interrupt
from egiz_sim.demo.parts import (
    FIRMWARE_DEVICE_ID,
    Bridge,
    Broker,
    FirmwareDevice,
    Part,
    PartError,
)
from egiz_sim.demo.view import View
from egiz_sim.fleet import Fleet, Plan
from egiz_sim.mqtt import Broker as BrokerAddress

DEVICES = 24
RATE_HZ = 1.0
_SETTLE_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 0.05
_SHOW_EVERY_S = 1.0
_QUERY = (
    "SELECT device_id, count(*), round(avg(electrical_voltage_a), 1)"
    " FROM telemetry GROUP BY device_id"
)

_P = TypeVar("_P", bound=Part)

# Messages by (device id, kind).
Accounts = dict[tuple[str, str], int]


def run_demo(
    broker_kind: str,
    seconds: float | None,
    console: Console,
    view: View | None = None,
) -> bool:
    """Run until Ctrl-C or for `seconds`; gives whether the ledger balances.

    Args:
        broker_kind: "auto", "mosquitto" or "embedded".
        seconds: None to run until Ctrl-C.
        console: where to show it.
        view: shows where things stand; a table on `console` if it is left out.

    Raises:
        PartError: if a part does not run.
        UnreachableError: if the devices cannot connect.
    """
    directory = Path(f"demo-{datetime.now():%Y%m%d-%H%M%S}").absolute()  # noqa: DTZ005  # a name for a person
    directory.mkdir()
    with contextlib.ExitStack() as parts:
        interrupt = parts.enter_context(Interrupt())
        broker = parts.enter_context(
            _stopping(Broker(broker_kind, directory, interrupt))
        )
        console.print(f"Broker: {broker.kind} on {broker.url}", highlight=False)
        bridge = parts.enter_context(_stopping(Bridge(broker, directory, interrupt)))
        console.print("Bridge: subscribed; the archive is SQLite", highlight=False)
        firmware = parts.enter_context(_stopping(FirmwareDevice(broker, directory)))
        fleet = Fleet(BrokerAddress("127.0.0.1", broker.port), _plan(seconds))
        reader = ArchiveReader(bridge.archive)
        console.print(f"Devices: {DEVICES} simulated, 1 with the real firmware\n")
        asyncio.run(
            _watch(fleet, [broker, bridge], reader, view or View(console), interrupt)
        )
        acknowledged = _acknowledged(fleet, firmware, console)
        _settle(reader, acknowledged)
        bridge.stop()
        archived = reader.counts()
    _tell(acknowledged, archived, bridge.archive, console)
    return acknowledged == archived


def _plan(seconds: float | None) -> Plan:
    return Plan(devices=DEVICES, rate_hz=RATE_HZ, seconds=seconds, seed=1)


async def _watch(
    fleet: Fleet,
    parts: list[Part],
    reader: ArchiveReader,
    view: View,
    interrupt: Interrupt,
) -> None:
    """Run the fleet and show what is archived meanwhile."""
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(stop))
    with view:
        while not running.done():
            seen = fleet.acknowledged
            until = time.monotonic() + _SHOW_EVERY_S
            while not running.done() and time.monotonic() < until:
                await asyncio.wait([running], timeout=_LOOK_EVERY_S)
                if interrupt.is_set:
                    stop.set()
                reader.look()
            _check_alive(parts)
            rate = (fleet.acknowledged - seen) / _SHOW_EVERY_S
            view.show(_summary(fleet, reader, rate), reader.latest())
    await running


def _check_alive(parts: list[Part]) -> None:
    dead = next((part for part in parts if not part.is_running), None)
    if dead:
        raise PartError(f"{dead.name} has ended; see {dead.log}")


def _summary(fleet: Fleet, reader: ArchiveReader, rate: float) -> str:
    counts = reader.counts()
    of_firmware = sum(n for (who, _), n in counts.items() if who == FIRMWARE_DEVICE_ID)
    latency_ms = reader.latency_ms()
    age = "-" if latency_ms is None else f"{latency_ms} ms"
    return (
        f"{fleet.published:6,} published  {fleet.acknowledged:6,} acknowledged"
        f"  {sum(counts.values()) - of_firmware:6,} archived"
        f"  (and {of_firmware:,} of the firmware)  {rate:3.0f} msg/s"
        f"  publish to archive {age}"
    )


def _acknowledged(fleet: Fleet, firmware: FirmwareDevice, console: Console) -> Accounts:
    """What the broker acknowledged, as the devices themselves tell it."""
    accounts = {
        (device.device_id, kind): count
        for device in fleet.devices
        for kind, count in device.account.acknowledged.items()
    }
    if firmware.is_missing:
        console.print("The firmware was left out: no MicroPython for this platform.")
        return accounts
    told = firmware.acknowledged()
    return accounts | {
        (FIRMWARE_DEVICE_ID, kind): count for kind, count in told.items() if count
    }


def _settle(reader: ArchiveReader, acknowledged: Accounts) -> None:
    """Give the bridge time to archive the last batch."""
    until = time.monotonic() + _SETTLE_TIMEOUT_S
    while reader.counts() != acknowledged and time.monotonic() < until:
        time.sleep(0.1)


def _tell(
    acknowledged: Accounts, archived: Accounts, archive: Path, console: Console
) -> None:
    table = Table(title="Ledger: messages by device", title_justify="left")
    table.add_column("device")
    table.add_column("published", justify="right")
    table.add_column("archived", justify="right")
    table.add_column("")
    published_of, archived_of = _by_device(acknowledged), _by_device(archived)
    for device_id in sorted(published_of | archived_of):
        published, kept = published_of.get(device_id, 0), archived_of.get(device_id, 0)
        verdict = "=" if published == kept else f"[red]{kept - published:+}[/red]"
        table.add_row(device_id, str(published), str(kept), verdict)
    console.print(table)
    total, kept = sum(acknowledged.values()), sum(archived.values())
    verdict = "balanced" if acknowledged == archived else "NOT BALANCED"
    console.print(f"{total:,} published, {kept:,} archived: {verdict}")
    console.print(f"\nThe archive: {archive}\nAsk it something:", soft_wrap=True)
    console.print(f'  sqlite3 {archive} "{_QUERY}"', soft_wrap=True, highlight=False)


def _by_device(accounts: Accounts) -> dict[str, int]:
    found: dict[str, int] = {}
    for (device_id, _), count in accounts.items():
        found[device_id] = found.get(device_id, 0) + count
    return found


@contextlib.contextmanager
def _stopping(part: _P) -> Iterator[_P]:
    """Stop a part at the end, however it comes."""
    try:
        yield part
    finally:
        if part.is_running:
            part.stop()
