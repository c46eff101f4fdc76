"""Which devices still need TLS 1.2, by the log of the broker that runs here."""

import shlex
import ssl
import subprocess

import pytest
from egiz_infra.probe import Probe
from prometheus_client.parser import text_string_to_metric_families
from rig.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")
_1_2, _1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
# As Mosquitto 2.1.2 writes them; 2.0 has no such line.
LOG = """\
1706352600: New client connected from 10.20.0.7:41952 as oven-001 (p4, c1, k60).
1706352600: Client oven-001 negotiated TLSv1.3 cipher TLS_AES_256_GCM_SHA384
1706352601: Client mixer-002 negotiated TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256
1706352602: Client fleet negotiated TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256
1706352603: Client stranger negotiated TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256
"""


def _log(path, text):
    path.write_text(text)
    return ("--log", f"cat {shlex.quote(str(path))}")


def _listed(output):
    return dict(line.split() for line in output.splitlines())


def _counts(text):
    (family,) = text_string_to_metric_families(text)
    assert (family.name, family.type) == ("egiz_tls_devices", "gauge")
    return {one.labels["tls"]: one.value for one in family.samples}


def test_each_device_has_the_version_of_its_last_connection(infra, tmp_path):
    infra("issue", "device", "oven-001", "mixer-002", "press-003")
    later = LOG + LOG.splitlines()[1].replace("1.3", "1.2")
    for text, oven in ((LOG, "1.3"), (later, "1.2"), ("", "unknown")):
        found = _listed(infra("tls-versions", *_log(tmp_path / "log", text)))
        assert found.keys() == {"oven-001", "mixer-002", "press-003"}
        assert (found["oven-001"], found["press-003"]) == (oven, "unknown")


def test_the_metric_counts_every_device_once_and_none_that_has_no_certificate(
    infra, tmp_path
):
    target = tmp_path / "tls.prom"
    log = _log(tmp_path / "log", LOG)
    infra("tls-versions", *log, "--to", str(target))
    assert _counts(target.read_text()) == {"1.2": 0, "1.3": 0, "unknown": 0}
    infra("issue", "device", "oven-001", "mixer-002", "press-003", "press-004")
    infra("tls-versions", *log, "--to", str(target))
    assert _counts(target.read_text()) == {"1.2": 1, "1.3": 1, "unknown": 2}
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-program", "No such file or directory: 'no-such-program'"),
        ("sh -c 'echo no journal >&2; exit 1'", "no journal"),
        ("sh -c 'exit 3'", "exit code 3"),
        ("sh -c 'exit", "No closing quotation"),
        (" ", "no program is named"),
    ],
)
def test_a_log_that_cannot_be_read_fails_and_leaves_the_file_as_it_was(
    infra, tmp_path, command, reason
):
    target = tmp_path / "tls.prom"
    target.write_text("before")
    output = infra("tls-versions", "--log", command, "--to", str(target), code=1)
    assert reason in output
    assert "Traceback" not in output
    assert target.read_text() == "before"


def _names_the_version():
    """Whether the Mosquitto that runs here is 2.1 or newer."""
    command = ["mosquitto", "-h"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "version 2.0." not in done.stdout


def test_the_real_broker_says_it_from_2_1_on_and_of_2_0_it_is_unknown(
    secure_mosquitto,
):
    logins = {name: secure_mosquitto.device(name) for name in ("oven-001", "mixer-002")}
    secure_mosquitto.device("press-003")  # is never there
    secure_mosquitto.start()
    logins["oven-001"].tls.minimum_version = _1_3
    logins["mixer-002"].tls.maximum_version = _1_2
    for name, login in logins.items():
        with Probe(login):
            pass
        eventually(lambda name=name: f"Client {name}" in secure_mosquitto.log)
    log = secure_mosquitto.directory / "log"
    output = secure_mosquitto.infra("tls-versions", "--log", f"cat {log}")
    expected = {"mixer-002": "1.2", "oven-001": "1.3", "press-003": "unknown"}
    if not _names_the_version():
        expected = dict.fromkeys(expected, "unknown")
    assert _listed(output) == expected
