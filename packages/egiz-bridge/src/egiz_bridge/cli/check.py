"""`egiz-bridge check`: whatever `run` needs, tried once, without touching any data."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

from egiz_bridge.config.settings import Settings
from egiz_bridge.errors import ConfigError, MqttError, Unavailable
from egiz_bridge.files import probe_sqlite
from egiz_bridge.mqtt.broker import broker_of
from egiz_bridge.mqtt.connection import try_login
from egiz_bridge.sinks.sink import SinkTable


def results(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Each thing that was tried: (key, what is wrong or None)."""
    yield from _tried("mqtt.url", lambda: try_login(broker_of(settings.mqtt)))
    for table in settings.sinks():
        key = f"{table.sink_name}.{table.where}"
        yield from _tried(key, lambda table=table: _probe_sink(table))  # type: ignore[misc]  # bound now
    yield from _tried("spool.path", lambda: probe_sqlite(settings.spool.path))
    yield from _tried("http.listen", lambda: _probe_listen(*settings.http.address))


def _tried(key: str, probe: Callable[[], object]) -> Iterator[tuple[str, str | None]]:
    try:
        probe()
    except ConfigError as error:  # names its own keys
        for problem in error.problems:
            named, _, message = problem.partition(": ")
            yield named, message
    except (OSError, MqttError, Unavailable) as error:
        yield key, getattr(error, "strerror", None) or str(error)
    else:
        yield key, None


def _probe_sink(table: SinkTable) -> None:
    with closing(table.open()) as sink:
        sink.probe()


def _probe_listen(host: str, port: int) -> None:
    with socket.create_server((host, port)):
        pass
