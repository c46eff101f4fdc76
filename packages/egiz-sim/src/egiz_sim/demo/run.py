"""The demo from start to balanced ledger."""

import asyncio
import contextlib
import shlex
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from egiz_sim.broker import Broker as BrokerAddress
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
from egiz_sim.demo.services import FACILITY, Ports, published, to_try
from egiz_sim.demo.view import View
from egiz_sim.fleet import Fleet, Plan

DEVICES = 24
RATE_HZ = 1.0
_ARCHIVE_TIMEOUT_S = 15.0
_POLL_EVERY_S = 0.05
_SHOW_EVERY_S = 1.0
_QUERY = (
    "SELECT device_id, count(*), round(avg(electrical_voltage_a), 1)"
    " FROM telemetry GROUP BY device_id"
)

_P = TypeVar("_P", bound=Part)

# Messages by (device id, kind).
Counts = dict[tuple[str, str], int]


def run_demo(
    broker_kind: str,
    seconds: float | None,
    console: Console,
    view: View | None = None,
    ports: Ports | None = None,
) -> bool:
    """Run until Ctrl-C or for `seconds`; gives whether the ledger balances.

    Args:
        broker_kind: "auto", "mosquitto" or "embedded".
        seconds: how long the devices publish, above 0; None is until Ctrl-C.
        console: where to show it.
        view: shows the progress; a table on `console` if it is left out.
        ports: to serve other programs on, which find them in `services.json`; free
            ones and no file if they are left out.

    Raises:
        PartError: if a part does not run.
        UnreachableError: if the devices cannot connect.
    """
    used = ports.check() if ports else Ports.free()
    directory = Path(f"demo-{datetime.now():%Y%m%d-%H%M%S}").absolute()  # noqa: DTZ005  # a name for a person
    directory.mkdir()
    with (
        Interrupt() as interrupt,
        _running(broker_kind, used, directory, console, interrupt) as parts,
        _found_by_others(parts, console) if ports else contextlib.nullcontext(),
    ):
        address = BrokerAddress("127.0.0.1", parts.broker.port)
        fleet = Fleet(address, Plan(DEVICES, RATE_HZ, seconds, 1, FACILITY))
        own = frozenset({d.device_id for d in fleet.devices} | {FIRMWARE_DEVICE_ID})
        reader = ArchiveReader(parts.bridge.archive, own if ports else None)
        view = view or View(console)
        asyncio.run(_watch(fleet, parts, reader, view, interrupt))
        acknowledged = _acknowledged(fleet, parts.firmware, console)
        _wait_for_archive(reader, acknowledged)
        parts.bridge.stop()
        archived = reader.counts()
    _print_ledger(acknowledged, archived, parts.bridge.archive, console)
    return acknowledged == archived


class _Parts(NamedTuple):
    broker: Broker
    bridge: Bridge
    firmware: FirmwareDevice


@contextlib.contextmanager
def _running(
    broker_kind: str,
    ports: Ports,
    directory: Path,
    console: Console,
    interrupt: Interrupt,
) -> Iterator[_Parts]:
    """Start the parts one after another; stop them in reverse order."""
    with contextlib.ExitStack() as stack:
        started = Broker(broker_kind, ports.mqtt, directory, interrupt)
        broker = stack.enter_context(_stopping(started))
        console.print(f"Broker: {broker.kind} on {broker.url}", highlight=False)
        subscribed = Bridge(broker, ports.http, directory, interrupt)
        bridge = stack.enter_context(_stopping(subscribed))
        console.print(
            f"Bridge: subscribed; {bridge.url}; the archive is SQLite", highlight=False
        )
        firmware = stack.enter_context(_stopping(FirmwareDevice(broker, directory)))
        console.print(f"Devices: {DEVICES} simulated, 1 with the real firmware")
        hints = to_try(broker, bridge)
        console.print(f"{hints}\n", highlight=False, soft_wrap=True, markup=False)
        yield _Parts(broker, bridge, firmware)


@contextlib.contextmanager
def _found_by_others(parts: _Parts, console: Console) -> Iterator[None]:
    with published(parts.broker, parts.bridge, Path.cwd()) as path:
        console.print(f"Other programs find it in {path}", soft_wrap=True, markup=False)
        yield


async def _watch(
    fleet: Fleet,
    parts: _Parts,
    reader: ArchiveReader,
    view: View,
    interrupt: Interrupt,
) -> None:
    """Run the fleet and show what is archived meanwhile."""
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(stop))
    with view:
        while not running.done():
            acknowledged = fleet.acknowledged
            until = time.monotonic() + _SHOW_EVERY_S
            while not running.done() and time.monotonic() < until:
                await asyncio.wait([running], timeout=_POLL_EVERY_S)
                if interrupt.is_set:
                    stop.set()
                reader.poll()
            _check_alive([parts.broker, parts.bridge])
            rate = (fleet.acknowledged - acknowledged) / _SHOW_EVERY_S
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


def _acknowledged(fleet: Fleet, firmware: FirmwareDevice, console: Console) -> Counts:
    """What the broker acknowledged, as the devices themselves counted."""
    counts = {
        (device.device_id, kind): count
        for device in fleet.devices
        for kind, count in device.counts.acknowledged.items()
    }
    if firmware.is_missing:
        console.print("The firmware was left out: no MicroPython for this platform.")
        return counts
    return counts | {
        (FIRMWARE_DEVICE_ID, kind): count
        for kind, count in firmware.acknowledged().items()
        if count
    }


def _wait_for_archive(reader: ArchiveReader, acknowledged: Counts) -> None:
    """Give the bridge time to archive the last batch."""
    until = time.monotonic() + _ARCHIVE_TIMEOUT_S
    while reader.counts() != acknowledged and time.monotonic() < until:
        time.sleep(0.1)


def _print_ledger(
    acknowledged: Counts, archived: Counts, archive: Path, console: Console
) -> None:
    table = Table(title="Ledger: messages by device", title_justify="left")
    table.add_column("device")
    table.add_column("published", justify="right")
    table.add_column("archived", justify="right")
    table.add_column("")
    published_of, archived_of = _by_device(acknowledged), _by_device(archived)
    for device_id in sorted(published_of | archived_of):
        published, kept = published_of.get(device_id, 0), archived_of.get(device_id, 0)
        result = "=" if published == kept else f"[red]{kept - published:+}[/red]"
        table.add_row(device_id, str(published), str(kept), result)
    console.print(table)
    total, kept = sum(acknowledged.values()), sum(archived.values())
    result = "balanced" if acknowledged == archived else "NOT BALANCED"
    console.print(f"{total:,} published, {kept:,} archived: {result}")
    # Not markup: a directory may be named [red].
    about = f"\nThe archive: {archive}\nQuery it:"
    console.print(about, soft_wrap=True, markup=False)
    query = f'  sqlite3 {shlex.quote(str(archive))} "{_QUERY}"'
    console.print(query, soft_wrap=True, highlight=False, markup=False)


def _by_device(counts: Counts) -> dict[str, int]:
    found: dict[str, int] = {}
    for (device_id, _), count in counts.items():
        found[device_id] = found.get(device_id, 0) + count
    return found


@contextlib.contextmanager
def _stopping(part: _P) -> Iterator[_P]:
    """Stop a part at the end, also after an error."""
    try:
        yield part
    finally:
        if part.is_running:
            part.stop()
