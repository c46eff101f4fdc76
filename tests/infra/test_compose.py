"""compose.yaml: what the specification allows, and what we ask of each service.

No Docker engine runs here. What can be run is: setup.sh with the real egiz-infra, and
the health check of the broker against the real Mosquitto.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from rig.process import Process, free_port, own_program, require
from rig.servers import REPOSITORY
from rig.waiting import eventually

INFRA = REPOSITORY / "infra"
TEXT = (INFRA / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
# They end: nothing waits for their health, but for their success.
ONE_OFF = {"setup", "admin"}
DAEMONS = sorted(SERVICES.keys() - ONE_OFF)
# The service of each directory in /run/egiz, which setup.sh fills.
OWNERS = {name: name for name in ("mosquitto", "influxdb", "telegraf", "grafana")}
OWNERS |= {"bridge": "egiz-bridge", "exporter": "mqtt-exporter"}
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _resolved(text):
    """With the defaults of its variables, as without a .env."""
    return _VARIABLE.sub(lambda found: found[2] or "", text)


def test_it_is_valid_by_the_specification():
    check = own_program("check-jsonschema")
    command = [check, "--builtin-schema", "vendor.compose-spec", INFRA / "compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_profiles_are_the_documented_ones():
    profiles = {name for one in SERVICES.values() for name in one["profiles"]}
    assert profiles == {"core", "monitoring", "telegraf", "sim", "admin"}
    core = {name for name, one in SERVICES.items() if "core" in one["profiles"]}
    assert core == {"setup", "mosquitto", "influxdb", "egiz-bridge"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_only_the_rights_that_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert "privileged" not in service
    # Only a service that gives files to the others has capabilities; one more is root,
    # which the authority's files are of, and has neither these nor a network.
    is_root = service["user"] == "0:0"
    assert is_root == (name in {*ONE_OFF, "certificates"})
    assert ("cap_add" in service) == (name in ONE_OFF)
    if "cap_add" in service:
        allowed = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL"}
        assert set(service["cap_add"]) <= allowed
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize(
    ("name", "unit"), [("influxdb", "influxdb"), ("prometheus", "prometheus")]
)
def test_a_service_may_have_as_many_threads_as_on_bare_metal(name, unit):
    text = (INFRA / f"systemd/{unit}.conf").read_text()
    (tasks,) = re.findall(r"^TasksMax=(\d+)$", text, re.MULTILINE)
    assert SERVICES[name]["pids_limit"] == int(tasks)


def test_the_engine_that_it_needs_is_said():
    """`start_interval` came with Docker Engine 25 and Compose 2.24."""
    assert "start_interval" in TEXT
    page = (INFRA.parent / "docs/install/containers.md").read_text()
    for text in (TEXT, page):
        assert "Docker Engine 25" in text
        assert "Compose 2.24" in text


def test_grafana_finds_every_folder_of_its_provisioning():
    folders = {path.name for path in (INFRA / "grafana/provisioning").iterdir()}
    assert folders == {"alerting", "dashboards", "datasources", "plugins"}
    for path in (INFRA / "grafana/provisioning").rglob("*.yaml"):
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1


@pytest.mark.parametrize("name", DAEMONS)
def test_a_service_is_watched(name):
    health = SERVICES[name]["healthcheck"]
    assert health["test"]
    assert health["interval"]
    assert health["timeout"]


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version(name):
    _, _, tag = _resolved(SERVICES[name]["image"]).partition(":")
    assert re.match(r"v?\d+\.\d+\.\d+", tag)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_here_exists_and_is_read_only(name):
    for mount in SERVICES[name].get("volumes", []):
        source, _, *mode = _resolved(mount).split(":")
        if source.startswith("."):
            assert (INFRA / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_the_environment(name):
    for key, value in (SERVICES[name].get("environment") or {}).items():
        if re.search("PASSWORD|TOKEN|SECRET|KEY", key):
            assert value.startswith("/run/egiz/"), key


def test_a_volume_with_secrets_is_for_one_service_and_the_one_that_fills_it():
    mounted = {}
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            mounted.setdefault(mount.split(":")[0], set()).add(name)
    for directory, service in OWNERS.items():
        assert mounted[f"for-{directory}"] == {"setup", service}
    assert mounted["read-token"] == {"setup", "influxdb", "grafana"}
    assert mounted["write-token"] == {"setup", "influxdb", "egiz-bridge", "telegraf"}
    assert mounted["authority"] == {*ONE_OFF, "certificates"}
    assert mounted["broker"] == {*ONE_OFF, "mosquitto"}


def test_ports_are_bound_to_an_address_which_is_this_machine_alone():
    published = [
        (name, _resolved(port))
        for name, service in SERVICES.items()
        for port in service.get("ports", [])
    ]
    assert {name for name, _ in published} == {"mosquitto", "grafana"}
    assert all(port.startswith("127.0.0.1:") for _, port in published)


def test_only_services_with_clients_outside_are_in_an_open_network():
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    opened = {
        name
        for name, service in SERVICES.items()
        if set(service.get("networks", [])) - {"backend"}
    }
    assert opened == {"mosquitto", "grafana"}
    outside = {name for name, one in SERVICES.items() if "network_mode" in one}
    assert outside == {*ONE_OFF, "certificates"}


def test_a_service_and_its_dependencies_start_with_the_same_profile():
    for service in SERVICES.values():
        for needed in service.get("depends_on", {}):
            if service["profiles"] != ["admin"]:
                assert set(service["profiles"]) <= set(SERVICES[needed]["profiles"])


def test_the_example_has_every_variable_with_its_default():
    example = dict(
        line.split("=", 1)
        for line in (INFRA / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert example == {found[1]: found[2] for found in _VARIABLE.finditer(TEXT)}


def test_prometheus_scrapes_services_that_exist():
    targets = yaml.safe_load((INFRA / "prometheus/targets-compose.yml").read_text())
    for host in (target.split(":")[0] for one in targets for target in one["targets"]):
        assert host in SERVICES


@pytest.fixture(scope="module")
def set_up_files():
    """What setup.sh makes: (directory of egiz-infra, directories of the containers).

    Not in pytest's directory, which it keeps to root, and the broker is not root here.
    """
    with tempfile.TemporaryDirectory(prefix="egiz-compose-") as made:
        directory = Path(made)
        directory.chmod(0o755)
        root, run = directory / "egiz", directory / "run"
        for name in ("egiz/broker", "run/mosquitto-data", "run/write", "run/read"):
            (directory / name).mkdir(parents=True)
        _set_up(root, run)
        yield root, run


def _set_up(root, run):
    if os.geteuid() != 0:
        pytest.skip("only root may give files to other users")
    programs = Path(own_program("egiz-infra")).parent
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "EGIZ_DIRECTORY": str(root),
        "EGIZ_RUN": str(run),
        "EGIZ_NAMES": "broker.factory 10.20.0.5",
    }
    done = subprocess.run(
        ["sh", INFRA / "docker/setup.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _user(service):
    return int(SERVICES[service]["user"].split(":")[0])


@pytest.mark.parametrize("name", ["telegraf", "prometheus", "grafana"])
def test_what_asks_by_http_has_no_proxy_of_the_docker_client(name):
    """Compose sets those of ~/.docker/config.json, unless the file has others."""
    found = SERVICES[name]["environment"]
    assert (found["http_proxy"], found["HTTP_PROXY"]) == ("", "")


def test_each_container_gets_only_its_own_secrets(set_up_files):
    root, run = set_up_files
    files = {path for path in run.rglob("*") if path.is_file()}
    assert {str(path.relative_to(run)) for path in files} == {
        "mosquitto/mosquitto_rr",
        "bridge/mqtt",
        "telegraf/mqtt",
        "exporter/mqtt",
        "influxdb/password",
        "influxdb/token",
        "grafana/admin",
    }
    for path in files:
        assert path.stat().st_uid == _user(OWNERS[path.parent.name])
        assert path.stat().st_mode & 0o777 == 0o400
    assert (run / "bridge/mqtt").read_text() == (root / "secrets/bridge").read_text()
    for directory in ("write", "read"):
        assert (run / directory).stat().st_uid == _user("influxdb")
    owners = {path.stat().st_uid for path in (root / "broker").iterdir()}
    assert owners == {_user("mosquitto")}


def test_a_link_of_a_container_in_its_directory_is_not_followed(set_up_files):
    root, run = set_up_files
    secret = root / "pki/ca.key"
    before = (secret.read_bytes(), secret.stat().st_uid)
    for name in ("mosquitto/mosquitto_rr", "bridge/mqtt", "influxdb/token"):
        # As an earlier setup left it: the directory belongs to the container's user.
        user = _user(OWNERS[Path(name).parent.name])
        os.chown(run / Path(name).parent, user, user)
        (run / f"{name}.new").symlink_to(secret)
    _set_up(root, run)
    assert (secret.read_bytes(), secret.stat().st_uid) == before
    for directory in OWNERS:
        assert (run / directory).stat().st_uid == 0


def test_a_second_setup_changes_nothing(set_up_files):
    root, run = set_up_files
    kept = [p for d in (root / "secrets", root / "pki", run) for p in d.rglob("*")]
    before = {path: path.read_bytes() for path in kept if path.is_file()}
    assert len(before) > 15
    _set_up(root, run)
    assert {path: path.read_bytes() for path in before} == before


def _configuration(root, run, port):
    """What compose mounts for the broker, on ports of this machine's loopback."""
    mounts = [mount.split(":/") for mount in SERVICES["mosquitto"]["volumes"]]
    sources = [_resolved(source) for source, *_ in mounts if source.endswith(".conf")]
    text = "\n".join((INFRA / source).read_text() for source in sources)
    for here, there in (
        ("include_dir", "# include_dir"),
        ("/etc/egiz/", f"{root}/"),
        ("/var/lib/mosquitto/", f"{run}/mosquitto-data/"),
        ("listener 1883", f"listener {port} 127.0.0.1"),
        ("listener 8883", f"listener {free_port()} 127.0.0.1"),
        ("listener 8884", f"listener {free_port()} 127.0.0.1"),
    ):
        assert here in text
        text = text.replace(here, there)
    return text


@pytest.fixture
def broker(set_up_files, tmp_path):
    """The broker of compose.yaml as its user: (process, port)."""
    root, run = set_up_files
    port = free_port()
    configuration = root / "mosquitto.conf"
    configuration.write_text(_configuration(root, run, port))
    as_its_user = [require("setpriv", "apt install util-linux"), "--clear-groups"]
    user = _user("mosquitto")
    program = require("mosquitto", "sh .ci/servers")
    command = [*as_its_user, "--reuid", str(user), program, "-c", str(configuration)]
    process = Process(command, tmp_path / "log")
    process.wait_for("running")
    yield process, port
    process.kill()


def _health(run, port, tmp_path):
    """Exit code of the health check, as the container's user."""
    options = tmp_path / "mosquitto_rr"
    options.write_text(f"{(run / 'mosquitto/mosquitto_rr').read_text()}-p {port}\n")
    require("mosquitto_rr", "apt install mosquitto-clients")
    return subprocess.run(
        ["sh", INFRA / "docker/mosquitto-health.sh"],
        env={**os.environ, "EGIZ_HEALTH": str(tmp_path)},
        capture_output=True,
        check=False,
    ).returncode


def test_the_broker_is_healthy_while_it_returns_a_message(
    broker, set_up_files, tmp_path
):
    process, port = broker
    _, run = set_up_files
    eventually(lambda: _health(run, port, tmp_path) == 0)
    process.kill()
    assert _health(run, port, tmp_path) != 0


def test_admin_reloads_the_broker_with_the_programs_of_its_image(
    secure_mosquitto, tmp_path
):
    """The image has Python and Mosquitto, and neither procps nor its `kill`."""
    secure_mosquitto.start()
    (tmp_path / "python3").symlink_to(sys.executable)
    command = SERVICES["admin"]["environment"]["EGIZ_RELOAD"]
    assert "procps" not in (INFRA / "docker/Dockerfile").read_text()
    # In the namespace of the container, the broker is process 1.
    here, replaced = re.subn(r"\b1\b", str(secure_mosquitto.pid), command)
    assert replaced == 1
    secure_mosquitto.infra("issue", "device", "oven-001")
    done = secure_mosquitto.try_infra("apply", EGIZ_RELOAD=here, PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "in force: 1 devices\n"), done.stderr
