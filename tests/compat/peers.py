"""Both at once: one broker, the same messages, and a recorder behind each."""

import contextlib
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bridge import telegraf
from egiz_schema import Topic
from rig.bridge import Bridge
from rig.process import Process
from rig.publisher import Publisher
from rig.scripted_http import ScriptedHttp
from rig.servers import Mosquitto

from compat.cases import FIRST, LAST, READING, Case
from compat.points import Point, points_of

_PATIENCE_S = 60.0
_FLUSHED_S = 2.5  # two flushes of Telegraf: what comes late, comes


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
        bridge = _bridge(directory / "bridge", broker, of_bridge)
        stack.callback(bridge.kill)
        peer = _telegraf(program, directory, broker, of_telegraf)
        stack.callback(peer.kill)
        with Publisher(broker) as publisher:
            _publish(publisher, cases, [of_bridge, of_telegraf], peer)
        time.sleep(_FLUSHED_S)
        return Written(points_of(of_bridge.requests), points_of(of_telegraf.requests))


def _publish(
    publisher: Publisher,
    cases: Iterable[Case],
    recorders: list[ScriptedHttp],
    peer: Process,
) -> None:
    def all_have(topic: Topic) -> bool:
        received = [points_of(list(one.requests)) for one in recorders]
        return all(topic.facility in points for points in received)

    def all_are_subscribed() -> bool:
        publisher.publish(str(FIRST), READING)
        return all_have(FIRST)

    peer.wait_until(all_are_subscribed, _PATIENCE_S)
    for case in cases:
        publisher.publish(str(case.topic), case.payload)
    publisher.publish(str(LAST), READING)
    peer.wait_until(lambda: all_have(LAST), _PATIENCE_S)


def _bridge(directory: Path, broker: Mosquitto, recorder: ScriptedHttp) -> Bridge:
    table = {"url": recorder.url, "org": "egiz", "bucket": "factory"}
    bridge = Bridge(directory, broker.url, influxdb=table)
    bridge.start()
    return bridge


def _telegraf(
    program: Path, directory: Path, broker: Mosquitto, recorder: ScriptedHttp
) -> Process:
    environment = {
        "MQTT_SERVER": f"tcp://{broker.host}:{broker.port}",
        "INFLUX_URL": recorder.url,
    }
    command = [str(program), "--strict-env-handling", "--config", str(telegraf.CONFIG)]
    return Process(command, directory / "telegraf.log", environment)
