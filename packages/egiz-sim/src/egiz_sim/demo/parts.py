"""The processes of the demo: broker, bridge and the device with the real firmware."""

import contextlib
import ctypes
import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

FIRMWARE_DEVICE_ID = "oven-900"
READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 40.0
_INSTALL = "pip install 'egiz-sim[demo]'"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NO_INTERPRETER = 3  # exit code of `egiz-edge run`
# Debian keeps servers where a user's PATH does not look.
_ALSO_ON_PATH = ("/usr/sbin", "/usr/local/sbin")

_MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 20000
max_queued_messages 300000
# Counts only where root runs the demo: a change of user would undo the request to the
# kernel that no part outlives it.
user root
"""


class PartError(Exception):
    """A part of the demo does not run; the message says which, and where its log is."""


class Part:
    """A program in the background, with its output in a file."""

    def __init__(self, name: str, command: list[str], directory: Path) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                # Ctrl-C is for the demo, which stops its parts in order.
                start_new_session=True,
                preexec_fn=_die_with_the_demo if sys.platform == "linux" else None,  # noqa: PLW1509  # no other thread yet
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait for it to be ready.

        Raises:
            PartError: if it ends, or takes longer than half a minute.
        """
        until = time.monotonic() + READY_TIMEOUT_S
        while not is_ready():
            if not self.is_running or time.monotonic() > until:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise PartError(f"{self.name} does not run: {last}; see {self.log}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        self._popen.send_signal(signal.SIGTERM)
        try:
            return self._popen.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")


class Broker(Part):
    """Mosquitto, or the embedded amqtt where there is none.

    Args:
        kind: "mosquitto", "embedded", or "auto" for the first that there is.
        directory: for configuration and log.

    Raises:
        PartError: if it does not start.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self.port = free_port()
        mosquitto = None if kind == "embedded" else _find_mosquitto()
        if kind == "mosquitto" and mosquitto is None:
            raise PartError("Mosquitto is not installed: apt install mosquitto")
        if mosquitto is None and importlib.util.find_spec("amqtt") is None:
            raise PartError(f"there is neither Mosquitto nor amqtt: {_INSTALL}")
        if mosquitto:
            conf = directory / "mosquitto.conf"
            conf.write_text(_MOSQUITTO_CONF.format(port=self.port))
            command = [mosquitto, "-c", str(conf)]
        else:
            module = "egiz_sim.demo.embedded_broker"
            command = [sys.executable, "-m", module, str(self.port)]
        self.kind = "Mosquitto" if mosquitto else "amqtt (Mosquitto is not installed)"
        super().__init__("broker", command, directory)
        self.wait_until(self._answers)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False


class Bridge(Part):
    """egiz-bridge with the SQLite archive.

    Raises:
        PartError: if it does not subscribe.
    """

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.archive = directory / "archive.sqlite"
        self._listen = f"127.0.0.1:{free_port()}"
        config = directory / "bridge.toml"
        config.write_text(
            f'[mqtt]\nurl = "{broker.url}"\n\n'
            f'[archive]\npath = "{self.archive}"\n\n'
            f'[spool]\npath = "{directory / "spool.sqlite"}"\n\n'
            f'[http]\nlisten = "{self._listen}"\n'
        )
        command = [own_program("egiz-bridge"), "run", "--config", str(config)]
        super().__init__("bridge", command, directory)
        self.wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            url = f"http://{self._listen}/readyz"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)  # noqa: PLR2004  # HTTP's OK
        return False


class FirmwareDevice(Part):
    """The real firmware in the MicroPython interpreter, on a virtual board."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        command = [
            *(own_program("egiz-edge"), "run", "--broker", broker.url),
            *("--device-id", FIRMWARE_DEVICE_ID, "--publish-ms", "2000"),
        ]
        super().__init__("firmware", command, directory)

    @property
    def is_missing(self) -> bool:
        """Whether this platform has no MicroPython."""
        return self._popen.poll() == _NO_INTERPRETER

    def acknowledged(self) -> dict[str, int]:
        """After the end: acknowledged messages by kind, as the firmware tells them.

        Raises:
            PartError: if it ended without telling.
        """
        lines = self.output().strip().splitlines()
        try:
            told = json.loads(lines[-1])
            return {str(kind): int(count) for kind, count in told["acked"].items()}
        except (IndexError, ValueError, KeyError):
            raise PartError(f"the firmware has no account; see {self.log}") from None


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def own_program(name: str) -> str:
    """A program of the environment that runs the demo.

    Raises:
        PartError: if it is not installed.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise PartError(f"{name} is missing: {_INSTALL}")
    return found


def _find_mosquitto() -> str | None:
    found = shutil.which("mosquitto")
    for directory in _ALSO_ON_PATH:
        found = found or shutil.which("mosquitto", path=directory)
    return found


def _die_with_the_demo() -> None:
    """Not even a killed demo leaves a part behind (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
