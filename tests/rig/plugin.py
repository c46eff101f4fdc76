"""The fixtures. What is started for a test ends with it."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from egiz_edge_tools import virtual_board
from egiz_edge_tools.bundle import stage
from egiz_edge_tools.hardware import Hardware
from hypothesis import HealthCheck, settings

from rig import updates
from rig.board import CodeOnBoard
from rig.bridge import Bridge
from rig.device import DEVICE, Device, full_hardware
from rig.http_proxy import (  # noqa: F401  # fixtures
    _servers_of_tests_need_no_proxy,
    http_proxy,
)
from rig.live import LiveSubscriber
from rig.micropython import MicroPython
from rig.process import Process, own_program
from rig.process_state import process_state  # noqa: F401  # a fixture of every test
from rig.proxy import Proxy
from rig.rollouts import Rollouts
from rig.scripted_http import ScriptedHttp
from rig.secure import SecureMosquitto
from rig.serial_board import SerialBoard
from rig.servers import (
    REPOSITORY,
    Chrony,
    InfluxDb,
    Mosquitto,
    Server,
    VictoriaMetrics,
)
from rig.umqtt import fetch

Launch = Callable[..., Process]

# On a loaded machine, the duration of an example says nothing about the code.
settings.register_profile(
    "loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("loaded")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which InfluxDB the dashboards are shown on; `make engines` asks for 2."""
    parser.addoption("--influxdb", choices=("1", "2"), default="1")


def _running(server: Server) -> Iterator[Server]:
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Server]:
    """Mosquitto with the shipped configuration."""
    yield from _running(Mosquitto(tmp_path / "mosquitto"))


@pytest.fixture
def secure_mosquitto(tmp_path: Path) -> Iterator[SecureMosquitto]:
    """Mosquitto as in production; not started, so that devices can be added."""
    server = SecureMosquitto(tmp_path / "secure")
    yield server
    server.kill()


@pytest.fixture
def influxdb(tmp_path: Path) -> Iterator[Server]:
    """InfluxDB 1 with an empty database."""
    yield from _running(InfluxDb(tmp_path / "influxdb"))


@pytest.fixture
def victoriametrics(tmp_path: Path) -> Iterator[Server]:
    """VictoriaMetrics, empty."""
    yield from _running(VictoriaMetrics(tmp_path / "victoriametrics"))


@pytest.fixture
def chrony(tmp_path: Path) -> Iterator[Server]:
    """A time server."""
    yield from _running(Chrony(tmp_path / "chrony"))


@pytest.fixture
def scripted_http() -> Iterator[ScriptedHttp]:
    """A database with answers that the test decides."""
    server = ScriptedHttp()
    yield server
    server.close()


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `make build` has left wheels and sdists of all packages, once for a run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    built = shared / "dist-is-built"
    with (shared / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build()
            built.touch()
    return REPOSITORY / "dist"


def _build() -> None:
    outside = ("PATH", "HOME")  # as in a user's shell, not in the tests' environment
    env = {key: os.environ[key] for key in outside if key in os.environ}
    env |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL"))}
    done = subprocess.run(
        ["make", "build"],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def micropython() -> MicroPython:
    """The MicroPython interpreter."""
    return MicroPython()


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware as a board gets it, for tests that only read it."""
    directory = tmp_path_factory.mktemp("firmware")
    stage(directory)
    return directory


@pytest.fixture
def compiled_once(firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each virtual board gets that firmware; else it would be compiled for each."""

    def copied(directory: Path, *_: str) -> None:
        shutil.copytree(firmware, directory, dirs_exist_ok=True)

    monkeypatch.setattr(virtual_board, "stage", copied)


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Rollouts:
    """Firmware, keys and releases that update in seconds."""
    return Rollouts(tmp_path_factory.mktemp("rollouts"))


@pytest.fixture
def serve_release() -> Iterator[Callable[[bytes], updates.UpdateServer]]:
    """A factory of servers of one release: `serve_release(content)`."""
    made: list[updates.UpdateServer] = []

    def make(content: bytes) -> updates.UpdateServer:
        made.append(updates.UpdateServer(updates.file(content)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def serial_board(tmp_path: Path) -> Iterator[Callable[..., SerialBoard]]:
    """A factory of boards at serial ports: `serial_board(blocks=64)`."""
    made: list[SerialBoard] = []

    def make(**options: Any) -> SerialBoard:
        made.append(SerialBoard(tmp_path / f"board-{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.switch_off()


@pytest.fixture
def on_board(
    micropython: MicroPython, tmp_path: Path
) -> Iterator[Callable[[str, Hardware], CodeOnBoard]]:
    """A factory of boards with the same flash: `on_board(code, hardware)`."""
    del micropython  # whether there is an interpreter
    made: list[CodeOnBoard] = []

    def make(code: str, hardware: Hardware) -> CodeOnBoard:
        made.append(CodeOnBoard(tmp_path / "flash", hardware, code))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def umqtt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to import stock `umqtt.simple` from."""
    return fetch(tmp_path_factory.mktemp("umqtt"))


@pytest.fixture
def proxy() -> Iterator[Callable[[str, int], Proxy]]:
    """A factory of TCP proxies: `proxy(host, port)`."""
    made: list[Proxy] = []

    def make(host: str, port: int) -> Proxy:
        made.append(Proxy(host, port))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def live(mosquitto: Mosquitto) -> Iterator[LiveSubscriber]:
    """A subscriber to everything, connected before the first message."""
    subscriber = LiveSubscriber(mosquitto.host, mosquitto.port)
    yield subscriber
    subscriber.close()


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    """A factory of bridges: `bridge(mosquitto.url, archive={})`; not started."""
    made: list[Bridge] = []

    def make(broker_url: str, **tables: Any) -> Bridge:
        made.append(Bridge(tmp_path / f"bridge-{len(made)}", broker_url, **tables))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """A factory of our own programs: `launch("egiz-bridge", "run", env={...})`."""
    started: list[Process] = []

    def start(
        program: str, *arguments: str, env: dict[str, str] | None = None
    ) -> Process:
        log = tmp_path / f"{program}-{len(started)}.log"
        command = [own_program(program), *arguments]
        started.append(Process(command, log, env, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        if process.is_running():
            process.kill()


@pytest.fixture
def hardware() -> Hardware:
    """What the devices of a test are made of."""
    return full_hardware()


@pytest.fixture
def device(
    micropython: MicroPython, tmp_path: Path, hardware: Hardware
) -> Iterator[Callable[..., Device]]:
    """A factory of devices: `device(broker, publish_rate_ms=)`.

    Each has the flash of the one before with its device id.
    """
    del micropython  # whether there is an interpreter
    made: list[Device] = []

    def make(broker: Any, device_id: str = DEVICE, **identity: Any) -> Device:
        flash = tmp_path / f"flash-{device_id}"
        flash.mkdir(exist_ok=True)
        address = (broker.host, broker.port)
        made.append(Device(address, flash, hardware, device_id, **identity))
        return made[-1]

    yield make
    for one in made:
        if one.is_running():
            one.kill()
