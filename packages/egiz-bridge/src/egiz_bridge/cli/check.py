"""`egiz-bridge check`: what `run` needs, tried once, without writing data."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from egiz_cli import DONE, FAILED, USAGE
from urllib3.exceptions import HTTPError

from egiz_bridge.cli.probe import Problems, base_url, fetch
from egiz_bridge.config.settings import Settings
from egiz_bridge.errors import ConfigError, MqttError, Unavailable
from egiz_bridge.mqtt.broker import broker_of
from egiz_bridge.mqtt.connection import try_login
from egiz_bridge.sinks.sink import SinkTable
from egiz_bridge.spool import access


class Result(NamedTuple):
    """What was tried, by its key, and what is wrong with it."""

    key: str
    problem: str | None = None
    exit_code: int = DONE


def results(settings: Settings) -> Iterator[Result]:
    """Each thing that was tried."""
    for url in settings.mqtt.url:
        key = "mqtt.url" if len(settings.mqtt.url) == 1 else f"mqtt.url {url}"
        yield from _tried(key, lambda url=url: try_login(broker_of(settings.mqtt, url)))  # type: ignore[misc]  # bound now
    for table in settings.sinks():
        key = f"{table.sink_name}.{table.where}"
        yield from _tried(key, lambda table=table: _probe_sink(table))  # type: ignore[misc]  # bound now
    yield from _tried("spool.path", lambda: access.probe(settings.spool.path))
    yield from _tried("http.listen", lambda: _probe_listen(*settings.http.address))


def _tried(key: str, probe: Callable[[], object]) -> Iterator[Result]:
    try:
        probe()
    except ConfigError as error:  # names its own keys
        for problem in error.problems:
            named, _, sentence = problem.partition(": ")
            yield Result(named, sentence, USAGE)
    except (OSError, MqttError, Unavailable) as error:
        sentence = getattr(error, "strerror", None) or str(error)
        yield Result(key, sentence, FAILED)
    else:
        yield Result(key)


def _probe_sink(table: SinkTable) -> None:
    with closing(table.open()) as sink:
        sink.probe()


def _probe_listen(host: str, port: int) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_a_bridge(host, port):
            return  # it runs, and is checked before a SIGHUP
        raise


def _is_a_bridge(host: str, port: int) -> bool:
    try:
        fetch(base_url(host, port) + "/healthz", Problems)
    except (HTTPError, OSError, ValueError):
        return False
    return True
