"""The command `egiz-sim firmware`."""

import contextlib
import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from egiz_cli import DONE, FAILED, OutputFile, Real, command, ending_signals
from egiz_schema import limits
from rich.console import Console
from rich.table import Table

from egiz_sim.broker import Broker
from egiz_sim.cli_broker import broker_options, facility_option
from egiz_sim.reports import reporting

if TYPE_CHECKING:  # a part that is installed only if it is wanted
    from egiz_sim.firmware.boards import Board, Outcome

_STEP_S = 0.25
_PROGRESS_EVERY_S = 2.0
_NOT_INSTALLED = (
    "the firmware is not installed: pip install 'egiz-sim[firmware]'"
    " (its interpreter is there for Linux x86-64 and macOS arm64)"
)


@command(
    exit_codes={
        DONE: "every message was acknowledged, and no device has booted again",
        FAILED: "one was not, a device has booted again, or MicroPython is missing",
    },
)
@click.option(
    "--devices",
    default=4,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Devices; each is a process of about 7 MB, and a tenth of a core while it"
    " starts.",
)
@click.option(
    "--seconds",
    default=30.0,
    show_default=True,
    type=Real(0, 86_400, min_open=True),
    help="How long they publish.",
)
@broker_options
@facility_option("factory", "The place, as it stands in the topic.")
@click.option(
    "--publish-ms",
    default=5000,
    show_default=True,
    type=click.IntRange(*limits.PUBLISH_MS),
    help="Milliseconds between two messages, each with the mean of the readings.",
)
@click.option(
    "--sensor-faults",
    default=0.0,
    show_default=True,
    type=Real(0, 1),
    metavar="SHARE",
    help="Share of the devices that have a sensor which fails, 0 to 1.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    help="The same seed gives the same machines.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that holds the flash and the console of each, and is kept.",
)
@click.option("--report", type=OutputFile(), help="Write the counts as JSON.")
def firmware(  # noqa: PLR0913, PLR0917  # one argument for each option
    devices: int,
    seconds: float,
    broker: Broker,
    facility: str,
    publish_ms: int,
    sensor_faults: float,
    seed: int,
    state: Path | None,
    report: Path | None,
) -> None:
    """Publish with the real firmware, at simulated machines.

    Each device is egiz-edge in a MicroPython process. Its meters answer Modbus, its
    thermometers 1-Wire, its thermocouples SPI, all with what the model of a machine
    measures at that moment: the ovens, mixers, conveyors and freezers of `egiz-sim
    run`. The others have channels, for which the firmware has no drivers.

    \b
    Twenty devices for two minutes, whose flash and console are kept:
      egiz-sim firmware --devices 20 --seconds 120 --state boards
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    plant = (devices, seed, sensor_faults)
    with _directory(state) as directory:
        outcomes = _run(plant, seconds, broker, facility, publish_ms, directory)
    content = (json.dumps(_counted(outcomes), indent=1) + "\n").encode()
    with reporting({report: content} if report else {}):
        _show(outcomes)
    if not all(outcome.is_well for outcome in outcomes.values()):
        raise click.exceptions.Exit(FAILED)


def _run(  # as above
    plant: tuple[int, int, float],
    seconds: float,
    broker: Broker,
    facility: str,
    publish_ms: int,
    directory: Path,
) -> "dict[str, Outcome]":
    try:
        from egiz_edge_tools.errors import BundleError  # noqa: PLC0415  # as above
        from egiz_edge_tools.virtual_board import NoInterpreterError  # noqa: PLC0415

        from egiz_sim.firmware.boards import Provisioned, started  # noqa: PLC0415
        from egiz_sim.firmware.wiring import wired  # noqa: PLC0415
    except ImportError:
        raise click.ClickException(_NOT_INSTALLED) from None
    stop = threading.Event()
    for number in ending_signals():
        signal.signal(number, lambda *_: stop.set())
    common = Provisioned(broker, facility, publish_ms, directory)
    try:
        boards = started(wired(*plant), common, _say)
    except (NoInterpreterError, BundleError) as error:
        raise click.ClickException(str(error)) from None
    _move(boards, seconds, stop)
    _say("stopping: they send what waits")
    for board in boards:
        board.stop()
    return {board.device_id: board.end() for board in boards}


def _move(boards: "list[Board]", seconds: float, stop: threading.Event) -> None:
    """Let time pass for the machines until it is over."""
    begun = before = said = time.monotonic()
    while not stop.wait(_STEP_S) and before - begun < seconds:
        now = time.monotonic()
        for board in boards:
            board.move(now - before)
        before = now
        if now - said >= _PROGRESS_EVERY_S:
            said = now
            _say(f"{len(boards)} devices, {now - begun:.0f} of {seconds:g} s")


@contextlib.contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    if state is not None:
        state.mkdir(parents=True, exist_ok=True)
        yield state.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="egiz-sim-") as directory:
        yield Path(directory)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _show(outcomes: "dict[str, Outcome]") -> None:
    table = Table(title="What the firmware counted", title_justify="left")
    for column in ("device", "acknowledged", "unacknowledged", "boots"):
        table.add_column(column, justify="left" if column == "device" else "right")
    for device_id, outcome in outcomes.items():
        counts = (sum(outcome.acknowledged.values()), outcome.unacknowledged)
        shown = map(str, counts) if outcome.has_counts else ("?", "?")
        table.add_row(device_id, *shown, str(len(outcome.boots)))
    Console().print(table)


def _counted(outcomes: "dict[str, Outcome]") -> dict[str, object]:
    return {
        device_id: {
            "acknowledged": outcome.acknowledged,
            "unacknowledged": outcome.unacknowledged,
            "boots": outcome.boots,
            "is_well": outcome.is_well,
        }
        for device_id, outcome in outcomes.items()
    }
