"""The heap of the whole firmware, stage by stage, with words of 64 bits.

Three meters, three thermometers, mutual TLS. Every stage gives what a garbage
collection leaves: while nothing is under way, and at most during the stage. The most is
noticed each time modules are unloaded, when all that the step needs is still there, and
every 10 ms.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from egiz_edge_tools.compact import compacted
from egiz_edge_tools.hardware import Thermometer, rom
from egiz_edge_tools.virtual_board import FIRMWARE, Identity, VirtualBoard
from egiz_schema import Alert, Command, Config, Status, Telemetry, Topic, encode

from rig.device import DEVICE, full_hardware
from rig.live import LiveSubscriber
from rig.tls import AUTHORITY, TlsBroker, der_files
from rig.umqtt import fetch, with_context
from rig.waiting import eventually

MESSAGES = 100  # of the outage
CONFIG_BYTES = 2048

# Private names are short in it, as in the firmware: it keeps each, and few are free.
_RUN = compacted("""
import egiz_edge, gc
_most = 0
def _live():
    global _most
    gc.collect()
    _used = gc.mem_alloc()
    _most = max(_most, _used)
    return _used
def _unload(*names, do=egiz_edge.unload):
    _live()
    do(*names)
egiz_edge.unload = _unload
import asyncio
from egiz_edge.main import load
def _stage(name):
    global _most
    _used = _live()
    _figures = (name, _used, _most, gc.mem_free())
    print('{"stage": "%s", "live": %d, "most": %d, "free": %d}' % _figures)
    _most = 0
async def _watch():
    while True:
        await asyncio.sleep_ms(10)
        _live()
async def _until(is_over):
    while not is_over():
        await asyncio.sleep_ms(20)
async def _run():
    app = load("", "/data", 0, "")
    _stage("start")
    _watching = asyncio.create_task(_watch())
    _running = asyncio.create_task(app.run())
    await _until(lambda: app.uplink.acked["status"])
    _stage("TLS handshake")
    await asyncio.sleep(7)
    _stage("at rest")
    await _until(lambda: app.downlink.config)
    await asyncio.sleep(2)
    _stage("config")
    await _until(lambda: app.downlink.command)
    await asyncio.sleep(2)
    _stage("command")
    await _until(lambda: len(app.outbox) >= MESSAGES)
    _stage("outage")
    await _until(lambda: not len(app.outbox))
    await asyncio.sleep(2)
    _stage("after the outage")
    app.stop()
    await _running
# As main.py does.
egiz_edge.boot_loop.write("/data", 1)
asyncio.run(_run())
""")
# Its report is encoded once there is a session: all that it needs is then there.
_SAFE_MODE = """
import gc, json, sys
class Json:
    loads = json.loads
    def dumps(value):
        gc.collect()
        if "reset_cause" in value:
            used = gc.mem_alloc()
            print('{"stage": "safe mode", "live": %d, "most": %d, "free": %d}'
                % (used, used, gc.mem_free()))
        return json.dumps(value)
sys.modules["json"] = Json
from egiz_edge.main import main
main("")
"""


class Stage(NamedTuple):
    """Bytes of the heap."""

    live: int
    most: int
    free: int  # when `live` was in use


def stages(directory: Path, heap: str) -> dict[str, Stage]:
    """Run the firmware on `heap` through all stages; `directory` is empty.

    Every message of the outage must arrive.
    """
    broker = TlsBroker(directory / "broker")
    broker.start()
    live = LiveSubscriber(broker.host, broker.port)
    try:
        found = {}
        for name, stage in _stages(_board(directory, heap, broker, _RUN)):
            found[name] = stage
            _follow(name, broker, live)
        messages = live.messages(DEVICE, "telemetry")
        sent = [m.seq for m in messages if isinstance(m, Telemetry) and m.seq]
    finally:
        live.close()
        broker.kill()
    assert set(sent) == set(range(1, max(sent) + 1)), sorted(sent)
    return found


def _follow(name: str, broker: TlsBroker, live: LiveSubscriber) -> None:
    """Bring the device to its next stage."""
    if name == "at rest":
        live.publish(Topic("factory", DEVICE, "config"), config(), retain=True)
    elif name == "config":
        command = Command(device_id=DEVICE, id="c1", action="sample_now")
        live.publish(Topic("factory", DEVICE, "command"), encode(command))
    elif name == "command":
        broker.stop()
    elif name == "outage":
        broker.start()


def outcome(directory: Path, heap: str, may_restart: bool = False) -> Status:
    """The first status that says what became of a retained configuration of 2 KB.

    The device must publish on afterwards, and no task of it may fail unless it
    `may_restart`.
    """
    broker = TlsBroker(directory / "broker")
    broker.start()
    live = LiveSubscriber(broker.host, broker.port)
    live.publish(Topic("factory", DEVICE, "config"), config(), retain=True)
    board = _board(directory, heap, broker, FIRMWARE)
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.extend(board.lines()))
    reader.start()
    try:
        said = eventually(lambda: _with_config(live), 30)
        before = len(live.messages(DEVICE, "telemetry"))
        eventually(lambda: len(live.messages(DEVICE, "telemetry")) > before + 1, 30)
    finally:
        board.cut_power()
        reader.join()
        board.close()
        live.close()
        broker.kill()
    if not may_restart:
        assert not [line for line in printed if "failed" in line], printed
        assert board.boots == ["power_on"]
    assert said is not None, "as `eventually` says"
    return said


def _with_config(live: LiveSubscriber) -> Status | None:
    for message in live.messages(DEVICE, "status"):
        if isinstance(message, Status) and message.config:
            return message
    return None


def config() -> bytes:
    """Of CONFIG_BYTES at least: thresholds for all that three meters measure."""
    quantities = ("voltage", "current", "active_power")
    fields = [f"electrical_{q}_{phase}" for q in quantities for phase in "abc"]
    fields += [f"thermal_temperature_zones_{zone}" for zone in range(23)]
    wanted = {field: Alert(min=-1000.0, max=1000000.0) for field in fields}
    zones = {rom(number).hex(): f"zone_{number}" for number in range(3)}
    message = Config(
        device_id=DEVICE,
        rev=1,
        publish_rate_ms=200,
        buffer_size=2 * MESSAGES,
        zones=zones,
        alerts=wanted,
    )
    encoded = encode(message)
    assert len(encoded) >= CONFIG_BYTES, len(encoded)
    return encoded


def safe_mode(directory: Path, heap: str) -> Stage:
    """The same of safe mode, over mutual TLS."""
    broker = TlsBroker(directory / "broker")
    broker.start()
    try:
        board = _board(directory, heap, broker, _SAFE_MODE)
        for name, stage in _stages(board):
            if name == "safe mode":
                return stage
    finally:
        broker.kill()
    raise AssertionError("it did not report")


def _stages(board: VirtualBoard) -> Iterator[tuple[str, Stage]]:
    """What its program prints, until it ends."""
    printed = []
    try:
        for line in board.lines():
            printed.append(line)
            if line.startswith('{"stage"'):
                found = json.loads(line)
                yield found.pop("stage"), Stage(**found)
    finally:
        board.cut_power()
        board.close()
    assert not [line for line in printed if "Error" in line], printed


def _board(directory: Path, heap: str, broker: TlsBroker, program: str) -> VirtualBoard:
    flash = directory / "flash"
    (flash / "data").mkdir(parents=True)
    if program == _SAFE_MODE:
        (flash / "data" / "boots").write_text("5 crash: test")
        shutil.copytree(with_context(fetch(directory)), flash / "lib/umqtt")
    files = der_files(directory, DEVICE, AUTHORITY, AUTHORITY)
    address = ("localhost", broker.tls_port)
    identity = Identity("factory", DEVICE, *address, tls=files)
    hardware = full_hardware()
    hardware.thermometers[rom(2)] = Thermometer(23.0)
    program = program.replace("MESSAGES", str(MESSAGES))
    return VirtualBoard(identity, hardware, flash, heap, program)
