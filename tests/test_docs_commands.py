"""Every shell block of docs/ is run, except those that cannot run here."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from egiz_schema import Telemetry, Thermal, encode
from paho.mqtt.enums import CallbackAPIVersion
from rig.machine import Machine
from rig.process import free_port, require
from rig.servers import REPOSITORY, Mosquitto
from rig.systemctl import Systemctl
from rig.waiting import eventually

# Packages are built and installed for the first of the tests.
pytestmark = pytest.mark.timeout(600)
DOCS = REPOSITORY / "docs"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS_OF_ENDLESS = 6

ROOT_OF_DEBIAN = "needs root on a machine of its own; test_install.py lays it out"
DOCKER = "needs Docker Engine"
BOARD = "needs a board; packages/egiz-edge/tests deploy to a virtual one"
METER = "needs a meter; packages/egiz-edge/tests/test_pzem_address.py has one"
MINUTES = "runs for minutes, by hand"
SUITE = "is the suite that this test is part of"
# How a block begins -> why it cannot run here.
NOT_RUN = {
    "export EGIZ_DEVICES=10.20.0.5:8883 EGIZ_NAMES=": ROOT_OF_DEBIAN,
    "export EGIZ_DEVICES=10.20.0.5:8883 EGIZ_SERVICES=": ROOT_OF_DEBIAN,
    "unit=/etc/systemd/system/prometheus-alert": ROOT_OF_DEBIAN,
    "PIP_NO_INDEX=1 infra/install.sh --wheels dist": ROOT_OF_DEBIAN,
    "git pull\nsudo infra/install.sh": ROOT_OF_DEBIAN,
    "git pull\ndocker compose ": DOCKER,
    "docker compose --file infra/compose.yaml --profile core ": DOCKER,
    "docker compose --file infra/compose.yaml run --rm admin issue ": DOCKER,
    "docker compose --file infra/compose.yaml exec grafana ": DOCKER,
    "docker compose --file infra/compose.yaml exec influxdb ": DOCKER,
    "docker compose --file infra/compose.yaml cp monday ": DOCKER,
    "EGIZ_BROKER=demo docker compose ": DOCKER,
    "egiz-edge doctor --port /dev/ttyUSB0 ": BOARD,
    "egiz-edge label --port /dev/ttyUSB0 ": BOARD,
    "egiz-edge deploy --port /dev/ttyUSB0 --settings oven-001/": BOARD,
    "egiz-edge deploy --port /dev/ttyUSB0 --keys keys": BOARD,
    "egiz-edge pzem-address --port /dev/ttyUSB1 2": METER,
    "make build\npip download ": "fetches some hundred MB; `dist` runs make build",
    "make test\nmake check\n": SUITE,
    "make bench": MINUTES,
    'make test ARGS="-m soak tests/test_outage.py"': MINUTES,
    'make test ARGS="-k under_load_the_bridge"': MINUTES,
    ".venv/bin/hatch run bench-broker ": MINUTES,
    ".venv/bin/hatch run bench-targets": MINUTES,
    "egiz-sim load --rate 10000 ": MINUTES,
}
# They run until Ctrl-C.
ENDLESS = {"egiz-edge run", "egiz-edge serve"}
# What the commands of a page print, in this order.
PRINTED = {
    "contract/index.md": ["RMS voltage", "1 read, 0 ", "BOUND_NOT_NARROWED"],
    "develop/scenarios.md": ["rollout-wave", "last wills", "last wills"],
    "device/deploy.md": ["firmware"],
    "device/index.md": ['"unacked": 0'],
    "device/update.md": [
        *("key set 1", "r1 of set 1", "signed, by r2", "1 releases", "without r1"),
    ],
    "device/write.md": ["1 read, 0 ", "temperature_zones", "vectors"],
    "evaluate.md": ["balanced", "oven-900|", "1 read, 0 ", "wanted", "Ledger"],
    "install/containers.md": [],
    "install/networks.md": ["oven-900", "unknown"],
    "install/one-machine.md": ["broker", "oven-001", "certificate.der", "oven-001"],
    "operate/backup.md": ["spool.sqlite", "certificates", "influxdb telemetry"],
    "operate/certificates.md": [
        *("broker.factory", "oven-001", "OpenEgiz 2: made; 1 certificates"),
        *("only OpenEgiz 2 is trusted", "drill-001", " s  "),
    ],
    "operate/index.md": ["0 of 1,073,741,824 bytes"],
    "runbook.md": ["all is well", "works"],
    "operate/sizing.md": ["max_queued_messages 200000", "messages a second"],
}
# What a page expects to be there.
BEFORE = {
    "operate/certificates.md": "egiz-infra issue device oven-001; "
    "egiz-infra apply; egiz-infra revoke oven-900",
    "contract/index.md": "mosquitto_pub -i oven-001 -t sensors/factory/oven-001/status "
    """-r -m '{"device_id":"oven-001","state":"online"}'""",
}


def _blocks(page):
    return BLOCK.findall((DOCS / page).read_text())


PAGES = [
    str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md")) if _blocks(path)
]


def _runs(block):
    return not block.startswith(tuple(NOT_RUN))


RUN = {page: [b for b in _blocks(page) if _runs(b)] for page in PAGES}


@pytest.fixture(scope="module")
def machine(tmp_path_factory, dist):
    """What `install.sh` lays out, with its services."""
    for program in ("mosquitto", "influxd", "prometheus", "prometheus-mqtt-exporter"):
        require(program, "sh .ci/servers")
    made = Machine(tmp_path_factory.mktemp("machine") / "root", dist)
    made.install(**made.addresses(), EGIZ_NAMES="broker.factory 127.0.0.1")
    try:
        made.start()
        _publish(made)
        yield made
    finally:
        for unit in made.units.values():
            unit.kill()


@pytest.fixture(scope="module")
def programs(machine, tmp_path_factory):
    """The machine's own programs, and systemctl."""
    directory = tmp_path_factory.mktemp("bin")
    for path in (machine.root / "usr/local/sbin").iterdir():
        (directory / path.name).symlink_to(path)
    with Systemctl(machine, directory):
        yield directory


@pytest.fixture
def shell(machine, programs, dist, tmp_path):
    """Run a block as a reader does, who has installed the layer on this machine."""
    broker = Mosquitto(tmp_path / "mosquitto")  # of simulated devices
    broker.start()
    ports = free_port(2)
    home = tmp_path / "home"
    services = machine.ports["SERVICES"]  # of the broker that is installed
    (home / ".config").mkdir(parents=True)
    for client, port in (
        ("mosquitto_pub", broker.port),
        ("mosquitto_sub", broker.port),
        ("mosquitto_rr", services),
    ):
        (home / ".config" / client).write_text(f"-h 127.0.0.1\n-p {port}\n")
    env = {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "DEMO_SECONDS": "15",  # the firmware boots, and publishes every 2 s
    }
    there = {
        # A reader has a checkout, and environments of its own for each target.
        "make demo": "egiz-sim demo",
        "demo --serve": f"demo --serve --mqtt-port {ports} --http-port {ports + 1}",
        "infra/install.sh": f"{REPOSITORY}/infra/install.sh --wheels {dist}",
        "/etc/egiz": str(machine.etc),
        "/var/lib/": f"{machine.root}/var/lib/",
        "/mnt/backup": str(tmp_path / "backup"),
        "localhost:1883": f"localhost:{broker.port}",
        # This machine may have something on port 8000.
        "serve updates": f"serve updates --listen 127.0.0.1:{free_port()}",
    }
    work = tmp_path / "work"
    shutil.copytree(REPOSITORY / "infra", work / "infra")  # blocks write there
    yield lambda block: _run(block, there, env, work)
    broker.kill()


def _publish(machine):
    """Store a message, so that there is something to back up."""
    machine.infra("issue", "device", "oven-900")
    machine.infra("apply")
    client = paho.Client(CallbackAPIVersion.VERSION2, "oven-900")
    client.tls_set_context(machine.tls_of("oven-900"))
    client.connect("127.0.0.1", machine.ports["DEVICES"])
    client.loop_start()
    sent = Telemetry(
        device_id="oven-900",
        timestamp=int(time.time()),
        thermal=Thermal(setpoint=190.0),
    )
    topic = "sensors/factory/oven-900/telemetry"
    client.publish(topic, encode(sent), 1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()
    reader = machine.secret("influxdb-grafana")
    query = "SELECT thermal_setpoint FROM telemetry"
    eventually(lambda: machine.rows(reader, query)[1], timeout=30)


def _run(block, there, env, directory):
    for reader, here in there.items():
        # Of a path only its beginning: try/etc/egiz is another directory.
        begins = rf"(?<![\w-])(?<!\w/){re.escape(reader)}"
        block = re.sub(begins, lambda _, to=here: to, block)
    process = subprocess.Popen(
        ["bash", "-euc", block],
        env=env,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output = _output(process, is_endless=block.startswith(tuple(ENDLESS)))
    assert process.returncode == 0, f"{block}\n{output}"
    return output


def _output(process, *, is_endless):
    try:
        return process.communicate(timeout=SECONDS_OF_ENDLESS if is_endless else 240)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT if is_endless else signal.SIGKILL)
        return process.communicate(timeout=60)[0]
    finally:  # nothing of it stays, also where the tests are interrupted
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("page", [page for page, blocks in RUN.items() if blocks])
def test_the_commands_of_a_page_succeed_in_their_order(page, shell):
    if page in BEFORE:
        shell(BEFORE[page])
    output = rest = "".join(map(shell, RUN[page]))
    for text in PRINTED[page]:
        _, found, rest = rest.partition(text)
        assert found == text, output


def test_what_is_not_run_is_one_block_each():
    blocks = [block for page in PAGES for block in _blocks(page)]
    for begin in NOT_RUN:
        assert len([block for block in blocks if block.startswith(begin)]) == 1, begin


def test_there_are_no_other_shell_blocks():
    for path in DOCS.rglob("*.md"):
        text = path.read_text()
        fences = re.findall(r"^ *```(\S+)$", text, re.MULTILINE)
        assert not {"bash", "shell", "console"} & set(fences), path
        indented = r"^ {4}(\$ |make |egiz-|docker |systemctl |sudo )"
        assert not re.search(indented, text, re.MULTILINE), path
