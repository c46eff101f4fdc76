"""Servers on the restored copies of a drill: what they find there."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from egiz_cli import child_process, free_port
from paho.mqtt.enums import CallbackAPIVersion

from egiz_infra.errors import InfraError

_ANSWERS_WITHIN_S = 300.0
_PAUSE_S = 0.2
_END = "drill/end"  # the broker delivers it after all that is retained


@contextmanager
def _server(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with child_process(lambda: _started(command, log)) as process:
        yield process


def _started(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        try:
            return subprocess.Popen(command, stdout=output, stderr=output)
        except FileNotFoundError:
            raise InfraError(
                f"there is no {command[0]} here: do the drill where it is installed"
            ) from None


def retained(data: Path, scratch: Path) -> int:
    """How many retained messages a Mosquitto has that starts with this file."""
    at = scratch / "broker.socket"
    configuration = scratch / "broker.conf"
    configuration.write_text(
        f"listener 0 {at}\nallow_anonymous true\nuser root\n"
        f"persistence true\npersistence_location {data.parent}/\n"
        "max_queued_messages 0\n"  # no limit: it drops none of them
    )
    log = scratch / "broker.log"
    # Debian has it where the PATH of a user does not look.
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    command = [program or "mosquitto", "-c", str(configuration)]
    with _server(command, log) as process:
        _until(lambda: _accepts(at), process, log)
        return _count_retained(at)


def _accepts(at: Path) -> bool:
    """Its file is there a moment before the broker listens."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(at))
    return True


def _count_retained(at: Path) -> int:
    count = 0
    has_ended = threading.Event()

    def received(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal count
        count += message.retain
        if message.topic == _END:
            has_ended.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, "drill", transport="unix")
    client.on_message = received
    client.on_connect = lambda c, *_: c.subscribe("#", 0)
    client.on_subscribe = lambda c, *_: c.publish(_END)
    client.connect(str(at))
    client.loop_start()
    try:
        if not has_ended.wait(_ANSWERS_WITHIN_S):
            raise InfraError("the restored broker does not send what it retains")
    finally:
        client.disconnect()
        client.loop_stop()
    return count


def points(directory: Path, login: str, scratch: Path) -> Iterator[tuple[str, int]]:
    """(measurement, points) of an InfluxDB that starts with these files."""
    port = free_port()
    configuration = scratch / "influxdb.conf"
    configuration.write_text(
        'reporting-disabled = true\nbind-address = "127.0.0.1:0"\n'
        f'[meta]\ndir = "{directory}/meta"\n'
        f'[data]\ndir = "{directory}/data"\nwal-dir = "{directory}/wal"\n'
        'index-version = "tsi1"\n[monitor]\nstore-enabled = false\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nauth-enabled = true\n'
        "log-enabled = false\n"
    )
    log = scratch / "influxdb.log"
    with _server(["influxd", "-config", str(configuration)], log) as process:
        _until(lambda: _ask(port, login, "SHOW DATABASES"), process, log)
        for row in _ask(port, login, "SHOW MEASUREMENTS"):
            count = f'SELECT count(*) FROM "{row[0]}"'  # noqa: S608  # its own name
            yield row[0], _most(_ask(port, login, count))


def _most(rows: list[list[Any]]) -> int:
    """A point counts for each field that it has: the field of most points."""
    return max((int(value) for row in rows for value in row[1:] if value), default=0)


def _ask(port: int, login: str, query: str) -> list[list[Any]]:
    where = urllib.parse.urlencode({"db": "factory", "q": query})
    header = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
    with closing(HTTPConnection("127.0.0.1", port, timeout=_ANSWERS_WITHIN_S)) as there:
        there.request("GET", f"/query?{where}", headers=header)
        answer = there.getresponse()
        text = answer.read().decode()
    if answer.status != HTTPStatus.OK:
        raise InfraError(f"the restored database answers {answer.status}: {text}")
    (result,) = json.loads(text)["results"]
    if "error" in result:  # as if there were nothing: also when the database is missing
        raise InfraError(f"the restored database answers: {result['error']}")
    return [row for one in result.get("series", []) for row in one["values"]]


def _until(
    is_ready: Callable[[], object], process: "subprocess.Popen[bytes]", log: Path
) -> None:
    until = time.monotonic() + _ANSWERS_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if is_ready():
                return
        except OSError:
            pass
        time.sleep(_PAUSE_S)
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise InfraError(f"a restored server does not start: {' '.join(last)}")
