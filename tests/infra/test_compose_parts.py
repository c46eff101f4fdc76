"""compose.yaml, part by part: each service as the file has it, without Docker.

Its user, capabilities, mounts, `/tmp`, command, environment and health check are those
of the file, its root is read-only; the program is Debian's, where the image has another
version. InfluxDB 2 is played by VictoriaMetrics. Grafana and Telegraf are not here.
"""

import errno
import json
import os
import re
import tempfile
from pathlib import Path

import pytest
import yaml
from rig.container import Container, Network
from rig.process import Process, require
from rig.servers import REPOSITORY
from rig.waiting import eventually

_VARIABLE = re.compile(r"\$\{\w+(?::-([^}]*))?\}")
# With the defaults of its variables, as without a .env.
_TEXT = (REPOSITORY / "infra/compose.yaml").read_text()
_RESOLVED = _VARIABLE.sub(lambda found: found[1] or "", _TEXT)
SERVICES = yaml.safe_load(_RESOLVED)["services"]
EXPORTER = REPOSITORY / "infra/docker/exporter.sh"  # the Dockerfile puts it there
# What starts in an image whose service has no `entrypoint`.
IMAGES = {
    "mosquitto": [],  # it runs what it is given
    "admin": ["egiz-infra"],
    "egiz-bridge": ["egiz-bridge", "run", "--config", "/etc/egiz/bridge.toml"],
    "mqtt-exporter": ["sh", "-c", EXPORTER.read_text()],
    "prometheus": ["prometheus"],
}
DAEMONS = (
    *("mosquitto", "egiz-bridge", "mqtt-exporter"),
    *("certificates", "node-exporter", "prometheus"),
)
# Volumes that belong to the user of their image from the start.
OF_IMAGES = {"bridge-data": "egiz-bridge", "prometheus-data": "prometheus"}
pytestmark = pytest.mark.timeout(300)


class Parts:
    """The services, with their volumes."""

    def __init__(self, directory):
        self.directory = directory
        self.volumes = {}
        self.started = {}
        mounted = [text for one in SERVICES.values() for text in one.get("volumes", [])]
        for name in {text.split(":")[0] for text in mounted if text[0] != "."}:
            self.volumes[name] = directory / "volumes" / name
            self.volumes[name].mkdir(parents=True)
        for volume, name in OF_IMAGES.items():
            os.chown(self.volumes[volume], *_ids(name))
        self.network = Network(directory, list(SERVICES))
        self._database = None

    def container(self, name):
        return Container(
            name,
            SERVICES[name],
            self.directory,
            self.network,
            self.volumes,
            IMAGES.get(name, []),
        )

    def up(self):
        """In the order of `depends_on`."""
        self.container("setup").run()
        self._start_database()
        for name in DAEMONS:
            self.started[name] = one = self.container(name)
            one.start()
            one.wait_until_healthy()

    def _start_database(self):
        """What InfluxDB does at its first start: an API, and a token in its volume."""
        program = require("victoria-metrics", "sh .ci/servers")
        options = ["-httpListenAddr=127.0.0.1:8086", "-storageDataPath=data"]
        enter = self.network.enter
        log, here = self.directory / "database.log", self.directory
        self._database = Process([*enter, program, *options], log, cwd=here)
        token = self.volumes["write-token"] / "token"
        token.write_text("token")
        os.chown(token, *_ids("egiz-bridge"))

    def down(self):
        for one in self.started.values():
            one.kill()
        if self._database:
            self._database.kill()
        self.network.close()


def _ids(name):
    return tuple(int(one) for one in SERVICES[name]["user"].split(":"))


@pytest.fixture(scope="module")
def parts():
    """All of core and monitoring but Grafana, healthy. Not in pytest's own directory,
    which it keeps to root, and the services are other users.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    for program in ("nsenter", "setpriv", "unshare"):
        require(program, "apt install util-linux")
    for program in ("mosquitto", "mosquitto_rr", "prometheus", "wget"):
        require(program, "sh .ci/servers")
    for program in ("prometheus-mqtt-exporter", "prometheus-node-exporter"):
        require(program, "sh .ci/servers")
    with tempfile.TemporaryDirectory(prefix="egiz-parts-") as name:
        Path(name).chmod(0o755)
        made = Parts(Path(name))
        try:
            made.up()
            processes = [one.main_pid for one in made.started.values()]
            yield made
        finally:
            made.down()
        # Each is another user than the one that started it.
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))


@pytest.mark.parametrize("name", DAEMONS)
def test_a_service_is_healthy_with_the_rights_of_the_file_and_no_more(parts, name):
    one = parts.started[name]
    assert one.is_healthy()
    uid, gid = _ids(name)
    assert one.status("Uid").split() == [str(uid)] * 4
    assert one.status("Gid").split() == [str(gid)] * 4
    assert int(one.status("CapBnd"), 16) == 0
    assert one.status("NoNewPrivs") == "1"


@pytest.mark.parametrize("name", DAEMONS)
def test_a_service_can_write_to_its_tmp_and_its_volumes_alone(parts, name):
    root = Path(f"/proc/{parts.started[name].main_pid}/root")
    with pytest.raises(OSError, match="Read-only file system") as error:
        (root / "written").touch()
    assert error.value.errno == errno.EROFS
    disk = os.statvfs(root / "tmp")
    assert disk.f_blocks * disk.f_frsize == 16 << 20  # compose.yaml: size=16m


@pytest.mark.parametrize("name", DAEMONS)
def test_a_service_needs_less_than_half_of_its_pids_limit(parts, name):
    """At rest; under load by hand, as docs/operate/sizing.md says."""
    threads = int(parts.started[name].status("Threads"))
    assert 1 <= threads <= SERVICES[name]["pids_limit"] / 2


def test_prometheus_reaches_each_service_by_its_name(parts):
    def up():
        url = "http://127.0.0.1:9090/api/v1/targets"
        answer = json.loads(parts.network.output_of("wget", "-q", "-O", "-", url))
        targets = answer["data"]["activeTargets"]
        return {one["scrapeUrl"]: one["health"] for one in targets}

    eventually(lambda: set(up().values()) == {"up"}, 60)
    assert up().keys() == {
        "http://egiz-bridge:9471/metrics",
        "http://mqtt-exporter:9641/metrics",
        "http://node-exporter:9100/metrics",
    }


def test_admin_issues_a_device_and_reloads_the_broker_beside_it(parts):
    """With the rights of the file: the broker is another user's, and process 1."""
    broker = parts.started["mosquitto"]
    before = broker.main_pid
    beside = ("nsenter", f"--target={before}", "--pid", "--net")
    admin = parts.container("admin")
    admin.run("issue", "device", "oven-001", beside=beside)
    assert admin.run("apply", beside=beside) == "in force: 1 devices\n"
    assert broker.main_pid == before
    assert broker.is_healthy()
