"""`egiz-bridge check`: whatever `run` needs, tried once, without touching any data."""

import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from egiz_bridge.connection import CONNECT_TIMEOUT_S, Broker
from egiz_bridge.daemon import broker_of, influx_sink
from egiz_bridge.errors import ConfigError, Rejected, Unavailable
from egiz_bridge.settings import Influxdb, Settings


def results(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Each thing that was tried: (key, what is wrong or None)."""
    yield from _tried("mqtt.url", lambda: _probe_broker(broker_of(settings.mqtt)))
    if table := settings.influxdb:
        yield from _tried("influxdb.url", lambda: _probe_influx(table))
    if archive := settings.archive_or_default():
        yield from _tried("archive.path", lambda: _probe_file(archive.path))
    yield from _tried("spool.path", lambda: _probe_file(settings.spool.path))
    yield from _tried("http.listen", lambda: _probe_listen(*settings.http.address))


def _tried(key: str, probe: Callable[[], None]) -> Iterator[tuple[str, str | None]]:
    try:
        probe()
    except ConfigError as fault:  # names its own keys
        for problem in fault.problems:
            named, _, told = problem.partition(": ")
            yield named, told
    except (OSError, sqlite3.Error, Unavailable) as fault:
        yield key, getattr(fault, "strerror", None) or str(fault)
    else:
        yield key, None


def _probe_broker(broker: Broker) -> None:
    """Log in and out as a passer-by: the session of the bridge may be in use."""
    answers: list[Any] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *arguments: answers.append(arguments[3])
    client.connect_timeout = CONNECT_TIMEOUT_S
    if broker.credentials:
        client.username_pw_set(*broker.credentials)
    client.connect(broker.host, broker.port)
    until = time.monotonic() + CONNECT_TIMEOUT_S
    while not answers and time.monotonic() < until:
        client.loop(0.1)
    client.disconnect()
    if not answers:
        raise OSError(f"{broker} does not answer as an MQTT broker")
    if answers[0].is_failure:
        raise OSError(f"{broker} refuses: {answers[0]}")


def _probe_influx(table: Influxdb) -> None:
    """Write nothing: the answer tells whether something could be written."""
    sink = influx_sink(table)
    try:
        sink.write(())
    except Rejected:
        pass  # an empty body is no good, but the rest was
    finally:
        sink.close()


def _probe_file(path: Path) -> None:
    directory = path.parent
    if not directory.is_dir():
        raise FileNotFoundError(f"there is no directory {directory}")
    if not os.access(path if path.exists() else directory, os.W_OK):
        raise PermissionError(f"{path} cannot be written")
    if path.exists():
        reader = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            reader.execute("PRAGMA schema_version")
        finally:
            reader.close()


def _probe_listen(host: str, port: int) -> None:
    with socket.create_server((host, port)):
        pass
