"""The command `egiz-edge`."""

import contextlib
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
from egiz_schema import limits, topics

from egiz_edge_tools.broker import Broker
from egiz_edge_tools.cli_board import (
    BROKER_HELP,
    broker_option,
    build_command,
    deploy_command,
    doctor_command,
    monitor_command,
    pzem_address_command,
)
from egiz_edge_tools.hardware import Hardware, OvenPlant
from egiz_edge_tools.virtual_board import (
    HEAP,
    Identity,
    NoInterpreterError,
    VirtualBoard,
)

EXIT_UNSENT = 1
EXIT_NO_INTERPRETER = 3

_PLANT_STEP_S = 0.25


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="egiz-edge")
def main() -> None:
    """The firmware of the sensor boards, and what the host does with it."""


for command in (
    build_command,
    deploy_command,
    monitor_command,
    pzem_address_command,
    doctor_command,
):
    main.add_command(command)


@main.command()
@click.option(
    "--broker",
    default="mqtt://localhost:1883",
    show_default=True,
    metavar="URL",
    callback=broker_option,
    help=BROKER_HELP,
)
@click.option("--facility", default="factory", show_default=True)
@click.option("--device-id", default="oven-001", show_default=True, metavar="TYPE-UNIT")
@click.option(
    "--sampling-ms",
    default=1000,
    show_default=True,
    type=click.IntRange(*limits.SAMPLING_MS),
    help="How often the sensors are read.",
)
@click.option(
    "--publish-ms",
    default=5000,
    show_default=True,
    type=click.IntRange(*limits.PUBLISH_MS),
    help="How often the mean of the samples is published.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that outlives the run: the device's flash. Default: a new one.",
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same course.")
@click.option(
    "--heap",
    default=HEAP,
    show_default=True,
    help="Heap of the interpreter; the board has about half, at half the word size.",
)
def run(  # noqa: PLR0913, PLR0917  # one argument for each option
    broker: Broker,
    facility: str,
    device_id: str,
    sampling_ms: int,
    publish_ms: int,
    state: Path | None,
    seed: int,
    heap: str,
) -> None:
    """Run the firmware on a virtual board: an oven with three meters and three zones.

    Real MicroPython, real MQTT; the host plays the hardware. Ctrl-C lets the device say
    good-bye. The last line is JSON: how many messages of each kind were acknowledged.

    \b
    Exit codes: 0 all was acknowledged, 1 some was not or the firmware failed,
    2 wrong usage, 3 no MicroPython interpreter for this platform.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    _check_ids(facility, device_id)
    identity = Identity(
        facility,
        device_id,
        broker.host,
        broker.port,
        broker.user,
        broker.password,
        sampling_ms,
        publish_ms,
    )
    hardware = Hardware()
    plant = OvenPlant(hardware, seed)
    try:
        with _state_directory(state) as directory:
            board = VirtualBoard(identity, hardware, directory, heap)
            sys.exit(_attend(board, plant))
    except NoInterpreterError as fault:
        click.echo(f"egiz-edge: {fault}", err=True)
        sys.exit(EXIT_NO_INTERPRETER)


def _attend(board: VirtualBoard, plant: OvenPlant) -> int:
    """Show what the device says and let the oven heat, until one of them ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: board.stop())
    is_over = threading.Event()
    heating = threading.Thread(target=_heat, args=(plant, is_over))
    heating.start()
    last = ""
    for line in board.lines():
        click.echo(line)
        last = line
    is_over.set()
    heating.join()
    return board.close() or _verdict(last)


def _heat(plant: OvenPlant, is_over: threading.Event) -> None:
    begun = time.monotonic()
    while not is_over.wait(_PLANT_STEP_S):
        plant.move(time.monotonic() - begun)


def _verdict(last_line: str) -> int:
    try:
        return EXIT_UNSENT if json.loads(last_line)["unacked"] else 0
    except (ValueError, KeyError):
        return EXIT_UNSENT  # it ended without an account


@contextlib.contextmanager
def _state_directory(state: Path | None) -> Iterator[Path]:
    if state is not None:
        state.mkdir(parents=True, exist_ok=True)
        yield state.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="egiz-edge-") as directory:
        yield Path(directory)


def _check_ids(facility: str, device_id: str) -> None:
    if not topics.is_facility(facility):
        raise click.UsageError(
            f"--facility {facility!r}: words of a-z, 0-9, _ joined by single hyphens,"
            f" at most {topics.FACILITY_MAX} characters"
        )
    if not topics.is_device_id(device_id):
        raise click.UsageError(
            f"--device-id {device_id!r}: type-unit of a-z, 0-9 and _, as oven-001,"
            f" at most {topics.DEVICE_ID_MAX} characters"
        )
