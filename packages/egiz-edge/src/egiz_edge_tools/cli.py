"""The command `egiz-edge`."""

import contextlib
import json
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
from egiz_cli import DONE, FAILED, Program, Unusable, ending_signals
from egiz_cli.tls_files import as_der
from egiz_schema import explain, limits, topics

from egiz_edge_tools import __version__, umqtt
from egiz_edge_tools.broker import Broker
from egiz_edge_tools.cli_board import (
    BROKER_HELP,
    broker_option,
    build_command,
    ca_option,
    cert_option,
    deploy_command,
    doctor_command,
    key_option,
    label_command,
    monitor_command,
    pzem_address_command,
)
from egiz_edge_tools.cli_keys import COMMANDS as OF_KEYS
from egiz_edge_tools.cli_release import COMMANDS as OF_RELEASES
from egiz_edge_tools.errors import BundleError, SettingsError
from egiz_edge_tools.hardware import Hardware, OvenPlant
from egiz_edge_tools.virtual_board import (
    HEAP,
    Identity,
    NoInterpreterError,
    VirtualBoard,
)

_PLANT_STEP_S = 0.25
_UNITS = {"": 1, "k": 1024, "m": 1024**2}
_LEAST_HEAP = 112 * 1024  # bytes; with less, the modules do not even load


@click.group("egiz-edge", cls=Program, version=__version__)
def main() -> None:
    """Build, deploy and watch the firmware of the sensor boards.

    \b
    From a new board to a running device:
      egiz-edge doctor --port /dev/ttyUSB0
      egiz-edge deploy --port /dev/ttyUSB0 --settings settings.json
      egiz-edge monitor --port /dev/ttyUSB0
    \b
    Without a board:
      egiz-edge run --broker mqtt://localhost
    \b
    A signed release, with keys that are made once:
      egiz-edge keygen keys
      egiz-edge release --key keys/r1.pem --out updates
    """  # noqa: D301  # \b is click's mark for lines that stay as they are


def _heap(_context: click.Context, _option: click.Parameter, text: str) -> str:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([kKmM]?)", text, re.ASCII)
    if not found:
        raise click.BadParameter("must be a size, as 144k or 1m")
    if int(found[1]) * _UNITS[found[2].lower()] < _LEAST_HEAP:
        raise click.BadParameter("the firmware needs 112k or more")
    return text


for command in (
    build_command,
    deploy_command,
    monitor_command,
    label_command,
    pzem_address_command,
    doctor_command,
    *OF_KEYS,
    *OF_RELEASES,
):
    main.add_command(command)


@main.command(
    exit_codes={
        DONE: "every message was acknowledged",
        FAILED: "some were not, the firmware failed, or MicroPython is not installed",
    },
)
@click.option(
    "--broker",
    default="mqtt://localhost:1883",
    show_default=True,
    metavar="URL",
    callback=broker_option,
    help=BROKER_HELP,
)
@click.option(
    "--facility",
    default="factory",
    show_default=True,
    help="The place, as it stands in the topic.",
)
@click.option(
    "--device-id",
    default="oven-001",
    show_default=True,
    metavar="TYPE-UNIT",
    help="The name, as it stands in the topic.",
)
@click.option(
    "--sampling-ms",
    default=1000,
    show_default=True,
    type=click.IntRange(*limits.SAMPLING_MS),
    help="Milliseconds between two readings of the sensors.",
)
@click.option(
    "--publish-ms",
    default=5000,
    show_default=True,
    type=click.IntRange(*limits.PUBLISH_MS),
    help="Milliseconds between two messages, each with the mean of the readings.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that is the device's flash and is kept. Default: a temporary one.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    help="The same seed gives the same readings.",
)
@click.option(
    "--heap",
    default=HEAP,
    show_default=True,
    callback=_heap,
    help="Heap of the interpreter; the board has about half, at half the word size.",
)
@ca_option
@cert_option
@key_option
def run(  # noqa: PLR0913, PLR0917  # one argument for each option
    broker: Broker,
    facility: str,
    device_id: str,
    sampling_ms: int,
    publish_ms: int,
    state: Path | None,
    seed: int,
    heap: str,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
) -> None:
    """Run the firmware on a virtual board, without hardware.

    The board is an oven with three meters and three zones. It is real MicroPython and
    real MQTT; the host simulates the hardware. Ctrl-C stops the device, which sends
    what waits and disconnects; a second one ends it at once. The last line is JSON: how
    many messages of each kind were acknowledged.

    Safe mode needs umqtt.simple, which a board has built in; the first line is how to
    install it, where it is missing.

    \b
      egiz-edge run --broker mqtt://localhost --device-id oven-007
    """  # noqa: D301  # as above
    _check_ids(facility, device_id)
    hardware = Hardware()
    plant = OvenPlant(hardware, seed)
    try:
        with _state_directory(state) as directory:
            identity = Identity(
                facility,
                device_id,
                broker.host,
                broker.port,
                broker.user,
                broker.password,
                sampling_ms,
                publish_ms,
                tls=as_der({"ca": ca, "cert": cert, "key": key}, directory),
            )
            stop = _StopSignals()
            _give_umqtt(directory)
            board = VirtualBoard(identity, hardware, directory, heap)
            stop.attach(board)
            code = _run_until_stopped(board, plant)
    except SettingsError as error:
        raise Unusable(str(error)) from None
    except (BundleError, NoInterpreterError) as error:
        raise click.ClickException(str(error)) from None
    raise click.exceptions.Exit(code)


def _give_umqtt(directory: Path) -> None:
    """Say what does not work where there is none; the firmware runs all the same."""
    if not umqtt.put(directory):
        click.echo(
            "safe mode does not work on this virtual board, as umqtt.simple is missing,"
            f" which a board has built in: {umqtt.how_to_install()}",
            err=True,
        )


class _StopSignals:
    """What ends a program stops the board, also one that is not made yet.

    An exception while it is made would leave its interpreter running, and writing into
    a directory that is being removed.
    """

    def __init__(self) -> None:
        self._board: VirtualBoard | None = None
        self._is_stopped = False
        for number in ending_signals():
            signal.signal(number, self._stop)

    def attach(self, board: VirtualBoard) -> None:
        """Stop this one from now on; immediately, if a signal has come."""
        self._board = board
        if self._is_stopped:
            board.stop()

    def _stop(self, number: int, _frame: object) -> None:
        """Once in good order; the second time, and where that fails, by force."""
        if self._board is not None:
            # A terminal that is closed sends several of the other kind.
            if self._is_stopped and number != signal.SIGHUP:
                self._board.cut_power()
            self._board.stop()
        self._is_stopped = True


def _run_until_stopped(board: VirtualBoard, plant: OvenPlant) -> int:
    """Print the console of the device while the oven heats; gives the exit code."""
    is_over = threading.Event()
    heating = threading.Thread(target=_heat, args=(plant, is_over))
    heating.start()
    last = ""
    try:
        for line in board.lines():
            click.echo(line)
            last = line
    finally:  # also if nothing reads the console any more: the device disconnects
        is_over.set()
        heating.join()
        code = board.close()
    return FAILED if code else _verdict(last)


def _heat(plant: OvenPlant, is_over: threading.Event) -> None:
    begun = time.monotonic()
    while not is_over.wait(_PLANT_STEP_S):
        plant.move(time.monotonic() - begun)


def _verdict(last_line: str) -> int:
    try:
        return FAILED if json.loads(last_line)["unacked"] else DONE
    except (ValueError, KeyError, TypeError):
        return FAILED  # it ended before it could print them


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
        raise click.UsageError(f"--facility {facility!r}: {explain('bad_facility')}")
    if not topics.is_device_id(device_id):
        raise click.UsageError(f"--device-id {device_id!r}: {explain('bad_device_id')}")
