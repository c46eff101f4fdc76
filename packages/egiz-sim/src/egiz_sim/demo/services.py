"""Where the parts of a demo are, for other programs: `services.json`."""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from egiz_cli import free_port

from egiz_sim.demo.parts import Bridge, Broker, PartError

FILE = "services.json"
FACILITY = "factory"


class Ports(NamedTuple):
    """TCP ports of the loopback interface: the broker's, and of the bridge's HTTP."""

    mqtt: int
    http: int

    @classmethod
    def free(cls) -> "Ports":
        """Two that no program listens on."""
        return cls(free_port(), free_port())

    def check(self) -> "Ports":
        """The same, if no program listens on them.

        Raises:
            PartError: if one does, or may not be used.
        """
        for option, port in (("--mqtt-port", self.mqtt), ("--http-port", self.http)):
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError as error:
                why = os.strerror(error.errno or 0)  # without the address
                reason = f"port {port} cannot be used ({why})"
                raise PartError(f"{reason}: choose another with {option}") from None
        return self


@contextmanager
def published(broker: Broker, bridge: Bridge, directory: Path) -> Iterator[Path]:
    """Write `services.json` into `directory`; remove it at the end.

    It is there only while the parts run, unless the demo is killed: `pid` is then of no
    process any more.
    """
    services = {
        "pid": os.getpid(),
        "facility": FACILITY,
        "broker": {"url": broker.url, "topics": "sensors/+/+/+"},
        "bridge": {
            "url": bridge.url,
            "ready": f"{bridge.url}/readyz",
            "metrics": f"{bridge.url}/metrics",
            "devices": f"{bridge.url}/devices",
        },
        "archive": {"path": str(bridge.archive)},
    }
    path = directory / FILE
    new = path.with_name(f"{FILE}.new")
    new.write_text(json.dumps(services, indent=2) + "\n")
    new.replace(path)  # whoever waits for it reads all of it
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def to_try(broker: Broker, bridge: Bridge) -> str:
    """Commands to type in another terminal while the demo runs."""
    lines = [
        f"curl {bridge.url}/devices",
        f"egiz-edge run --broker {broker.url} --device-id oven-777",
    ]
    if shutil.which("mosquitto_sub"):
        lines.insert(0, f"mosquitto_sub -p {broker.port} -t 'sensors/#' -v")
    return "\n".join(["Try in another terminal:", *(f"  {line}" for line in lines)])
