"""`systemctl` for the commands of a page: it acts on the services of a `Machine`."""

import json
import signal
import socket
import socketserver
import sys
import threading
from pathlib import Path
from typing import Self

from rig.machine import Machine
from rig.waiting import eventually

_PORTS = {"mosquitto": "SERVICES", "influxdb": "INFLUXDB", "egiz-bridge": "BRIDGE"}
_PROGRAM = """\
#!{python}
import json, socket, sys
with socket.socket(socket.AF_UNIX) as there:
    there.connect("{socket}")
    there.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    code, text = json.loads(there.makefile().readline())
print(text, end="")
sys.exit(code)
"""


class Systemctl:
    """The program `systemctl` in a directory for PATH; use it as a context.

    It knows what our pages say: start, stop, restart, reload, kill, status, is-active.
    What it starts ends with it, by the kernel: use one for all tests of a machine.
    """

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._machine = machine
        self._socket = directory / "systemctl.socket"
        program = directory / "systemctl"
        program.write_text(_PROGRAM.format(python=sys.executable, socket=self._socket))
        program.chmod(0o755)
        asked = self._answer

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                answer = asked(*json.loads(self.rfile.readline()))
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = socketserver.UnixStreamServer(str(self._socket), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, verb: str, *arguments: str) -> tuple[int, str]:
        names = [name for name in arguments if name in self._machine.units]
        act = getattr(self, f"_{verb.replace('-', '_')}", None)
        if act is None or not names:
            return 1, f"Unit {' '.join(arguments)} not found.\n"
        answers = [act(name, arguments) for name in names]
        code: int = max(code for code, _ in answers)
        return code, "".join(text for _, text in answers)

    def _start(self, name: str, _: object) -> tuple[int, str]:
        unit = self._machine.units[name]
        if not unit.is_running:
            unit.start()
        port = self._machine.ports.get(_PORTS.get(name, ""))
        if port:  # as Type=notify: what follows may connect
            eventually(lambda: _connects(port))
        return 0, ""

    def _stop(self, name: str, _: object) -> tuple[int, str]:
        unit = self._machine.units[name]
        if unit.is_running:
            unit.stop()
        return 0, ""

    def _restart(self, name: str, _: object) -> tuple[int, str]:
        self._stop(name, _)
        return self._start(name, _)

    def _reload(self, name: str, _: object) -> tuple[int, str]:
        if not self._machine.units[name].is_running:
            return 1, f"{name}.service is not active, cannot reload.\n"
        self._machine.units[name].process.signal(signal.SIGHUP)
        return 0, ""

    def _kill(self, name: str, arguments: tuple[str, ...]) -> tuple[int, str]:
        number = signal.Signals[f"SIG{arguments[arguments.index('--signal') + 1]}"]
        self._machine.units[name].process.signal(number)
        return 0, ""

    def _status(self, name: str, _: object) -> tuple[int, str]:
        running = self._machine.units[name].is_running
        return 0 if running else 3, f"{name}: {'active' if running else 'inactive'}\n"

    _is_active = _status


def _connects(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port)).close()
    return True
