"""`egiz-bridge check`: whatever `run` needs, tried once, without touching any data."""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from egiz_bridge.config.settings import Settings
from egiz_bridge.config.tables import Influxdb
from egiz_bridge.errors import ConfigError, MqttError, Unavailable
from egiz_bridge.mqtt.broker import broker_of
from egiz_bridge.mqtt.connection import try_login
from egiz_bridge.sinks.influxdb import InfluxDb
from egiz_bridge.sinks.lines import STDOUT


def results(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Each thing that was tried: (key, what is wrong or None)."""
    yield from _tried("mqtt.url", lambda: try_login(broker_of(settings.mqtt)))
    for table in settings.influxdb:
        key = f"{table.name}.url"
        yield from _tried(key, lambda table=table: _probe_influx(table))  # type: ignore[misc]  # bound now
    if archive := settings.archive_or_default():
        yield from _tried("archive.path", lambda: _probe_file(archive.path))
    if lines := settings.lines:
        yield from _tried("lines.path", lambda: _probe_lines(lines.path))
    yield from _tried("spool.path", lambda: _probe_file(settings.spool.path))
    yield from _tried("http.listen", lambda: _probe_listen(*settings.http.address))


def _tried(key: str, probe: Callable[[], object]) -> Iterator[tuple[str, str | None]]:
    try:
        probe()
    except ConfigError as fault:  # names its own keys
        for problem in fault.problems:
            named, _, told = problem.partition(": ")
            yield named, told
    except (OSError, sqlite3.Error, MqttError, Unavailable) as fault:
        yield key, getattr(fault, "strerror", None) or str(fault)
    else:
        yield key, None


def _probe_influx(table: Influxdb) -> None:
    sink = InfluxDb(table)
    try:
        sink.probe()
    finally:
        sink.close()


def _probe_lines(path: Path) -> None:
    if path != STDOUT:
        _probe_writable(path)


def _probe_file(path: Path) -> None:
    _probe_writable(path)
    if path.exists():
        reader = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            reader.execute("PRAGMA schema_version")
        finally:
            reader.close()


def _probe_writable(path: Path) -> None:
    directory = path.parent
    if not directory.is_dir():
        raise FileNotFoundError(f"there is no directory {directory}")
    if not os.access(path if path.exists() else directory, os.W_OK):
        raise PermissionError(f"{path} cannot be written")


def _probe_listen(host: str, port: int) -> None:
    with socket.create_server((host, port)):
        pass
