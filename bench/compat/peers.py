"""Both at once: one broker, the same messages, and a recorder behind each."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bridge import telegraf
from rig.bridge import Bridge
from rig.publisher import Publisher
from rig.scripted_http import ScriptedHttp
from rig.servers import Mosquitto
from rig.waiting import eventually

from compat.cases import LAST, Case
from compat.points import Point, points_of

_PATIENCE_S = 60.0
_SETTLE_S = 2.5  # two flushes of Telegraf: what comes late, comes


class Written(NamedTuple):
    """What each has written, by facility."""

    bridge: dict[str, list[Point]]
    telegraf: dict[str, list[Point]]


def feed(program: Path, cases: Iterable[Case]) -> Written:
    """Publish every message to both; `program` is Telegraf."""
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="egiz-compat-"))
        directory = Path(name)
        broker = Mosquitto(directory / "mosquitto")
        broker.start()
        stack.callback(broker.kill)
        of_bridge, of_telegraf = ScriptedHttp(), ScriptedHttp()
        for recorder in (of_bridge, of_telegraf):
            stack.callback(recorder.close)
        stack.enter_context(_bridge(directory / "bridge", broker, of_bridge))
        stack.enter_context(_telegraf(program, directory, broker, of_telegraf))
        _publish(broker, cases)
        for recorder in (of_bridge, of_telegraf):
            eventually(lambda r=recorder: _has_last(r), _PATIENCE_S)  # type: ignore[misc]  # bound now
        time.sleep(_SETTLE_S)
        return Written(points_of(of_bridge.requests), points_of(of_telegraf.requests))


def _publish(broker: Mosquitto, cases: Iterable[Case]) -> None:
    with Publisher(broker) as publisher:
        for case in cases:
            publisher.publish(str(case.topic), case.payload)
        publisher.publish(str(LAST[0]), LAST[1])


def _has_last(recorder: ScriptedHttp) -> bool:
    return LAST[0].facility in points_of(list(recorder.requests))


@contextlib.contextmanager
def _bridge(
    directory: Path, broker: Mosquitto, recorder: ScriptedHttp
) -> Iterator[None]:
    table = {"url": recorder.url, "org": "egiz", "bucket": "factory"}
    bridge = Bridge(directory, broker.url, influxdb=table)
    bridge.start()
    try:
        yield
    finally:
        bridge.kill()


@contextlib.contextmanager
def _telegraf(
    program: Path, directory: Path, broker: Mosquitto, recorder: ScriptedHttp
) -> Iterator[None]:
    environment = {
        **os.environ,
        "MQTT_SERVER": f"tcp://{broker.host}:{broker.port}",
        "INFLUX_URL": recorder.url,
    }
    command = [str(program), "--strict-env-handling", "--config", str(telegraf.CONFIG)]
    with (directory / "telegraf.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: "as telegraf" in broker.log, _PATIENCE_S)
        yield
    finally:
        process.terminate()
        process.wait()
