"""The processes of the demo: broker, bridge and the device with the real firmware."""

import contextlib
import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

from egiz_sim.demo.interrupt import Interrupt
from egiz_sim.direct import OPENER

FIRMWARE_DEVICE_ID = "oven-900"
READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 40.0
_INSTALL = "pip install 'egiz-sim[demo]'"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NO_INTERPRETER = "MicroPython interpreter is missing"  # printed by `egiz-edge run`
# Debian keeps servers where a user's PATH does not look.
_ALSO_ON_PATH = ("/usr/sbin", "/usr/local/sbin")

_MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 20000
max_queued_messages 300000
persistence true
persistence_location {directory}/
# Counts only where root runs the demo: a change of user would undo the request to the
# kernel that no part outlives it.
user root
"""


# NATS keeps MQTT sessions and retained messages in JetStream, which needs a store.
_NATS_CONF = """\
server_name: egiz-demo
listen: "127.0.0.1:-1"
jetstream {{ store_dir: {store} }}
mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 20000 }}
"""


def _quoted(path: Path) -> str:
    """As a text of TOML, and of the NATS server: both have the escapes of JSON."""
    return json.dumps(str(path), ensure_ascii=False)


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
                preexec_fn=_end_with_the_demo if sys.platform == "linux" else None,  # noqa: PLW1509  # no other thread yet
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def wait_until(self, is_ready: Callable[[], bool], interrupt: Interrupt) -> None:
        """Wait for it to be ready.

        Raises:
            PartError: if it ends, or is not ready within 30 s.
            KeyboardInterrupt: if Ctrl-C was pressed.
        """
        until = time.monotonic() + READY_TIMEOUT_S
        while not is_ready():
            if interrupt.is_set:
                self.stop()
            interrupt.check()
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
    """Mosquitto, or the NATS server that pip has installed if there is none.

    Args:
        kind: "mosquitto", "embedded", or "auto": Mosquitto if it is installed.
        port: where it listens.
        directory: for configuration and log.
        interrupt: ends the wait for it.

    Raises:
        PartError: if it does not start.
    """

    def __init__(
        self, kind: str, port: int, directory: Path, interrupt: Interrupt
    ) -> None:
        self.port = port
        mosquitto = None if kind == "embedded" else _find_mosquitto()
        if kind == "mosquitto" and mosquitto is None:
            raise PartError("Mosquitto is not installed: apt install mosquitto")
        program = mosquitto or own_program("nats-server")
        reason = " (Mosquitto is not installed)" if kind == "auto" else ""
        self.kind = "Mosquitto" if mosquitto else f"NATS{reason}"
        text = _MOSQUITTO_CONF if mosquitto else _NATS_CONF
        conf = directory / "broker.conf"
        conf.write_text(
            text.format(
                port=self.port,
                directory=directory,
                store=_quoted(directory / "broker"),
            )
        )
        super().__init__("broker", [program, "-c", str(conf)], directory)
        self.wait_until(self._answers, interrupt)

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

    Args:
        broker: to subscribe to.
        port: of its HTTP server.
        directory: for configuration, archive and log.
        interrupt: ends the wait for it.

    Raises:
        PartError: if it does not subscribe.
    """

    def __init__(
        self, broker: Broker, port: int, directory: Path, interrupt: Interrupt
    ) -> None:
        self.archive = directory / "archive.sqlite"
        self._listen = f"127.0.0.1:{port}"
        config = directory / "bridge.toml"
        config.write_text(
            f'[mqtt]\nurl = "{broker.url}"\n\n'
            f"[archive]\npath = {_quoted(self.archive)}\n\n"
            f"[spool]\npath = {_quoted(directory / 'spool.sqlite')}\n\n"
            f'[http]\nlisten = "{self._listen}"\n'
        )
        command = [own_program("egiz-bridge"), "run", "--config", str(config)]
        super().__init__("bridge", command, directory)
        self.wait_until(self._is_ready, interrupt)

    @property
    def url(self) -> str:
        """Of its HTTP server."""
        return f"http://{self._listen}"

    def _is_ready(self) -> bool:
        try:
            OPENER.open(f"http://{self._listen}/readyz", timeout=1).close()
        except urllib.error.HTTPError as error:  # it serves, and is not ready
            error.close()
            return False
        except OSError:
            return False
        return True


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
        return not self.is_running and _NO_INTERPRETER in self.output()

    def acknowledged(self) -> dict[str, int]:
        """Stop it; gives the acknowledged messages by kind, as the firmware counted.

        Raises:
            PartError: if it ended by itself, or without its counts.
        """
        had_ended = not self.is_running
        self.stop()
        lines = self.output().strip().splitlines()
        try:
            report = json.loads(lines[-1])
            return {str(kind): int(n) for kind, n in report["acked"].items()}
        except (IndexError, ValueError, KeyError):
            if not had_ended:
                return {}  # stopped before it ran: if it has published, no balance
            raise PartError(f"the firmware printed no counts; see {self.log}") from None


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


def _end_with_the_demo() -> None:
    """Have the kernel end this part if the demo is killed (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
