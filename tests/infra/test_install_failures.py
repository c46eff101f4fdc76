"""What fails in install.sh and setup.sh ends them, is named, and can be done again."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from rig.machine import INSTALL
from rig.servers import REPOSITORY

SETUP = REPOSITORY / "infra/docker/setup.sh"
# Fails at its N-th call, and otherwise is the program itself.
SHIM = """\
#!/bin/sh
echo x >>{calls}
[ "$(/usr/bin/wc -l <{calls})" != {at} ] || {{ echo "{name}: disk full" >&2; exit 1; }}
exec {real} "$@"
"""


def _stand_in(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def failing(tmp_path):
    """A directory for PATH in which one program fails at its N-th call."""

    def make(name, at):
        directory = tmp_path / f"fails-{name}-{at}"
        directory.mkdir()
        shim = directory / name
        calls = directory / "calls"
        real = shutil.which(name)
        shim.write_text(SHIM.format(name=name, at=at, real=real, calls=calls))
        shim.chmod(0o755)
        return directory, calls

    return make


def _run(script, *arguments, path, is_alone=False, **env):
    everything = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", **env}
    return subprocess.run(
        ["sh", script, *arguments],
        env=everything,
        start_new_session=is_alone,
        capture_output=True,
        text=True,
        check=False,
    )


def _programs_of_ours(root):
    """Packages and egiz-infra as programs that do what install.sh needs."""
    etc = root / "etc/egiz"
    _stand_in(root / "opt/egiz/bin/python", "exit 0")
    _stand_in(
        root / "opt/egiz/bin/egiz-infra",
        f"mkdir -p {etc}/pki {etc}/secrets\n"
        f'[ "$3" != init ] || echo key >{etc}/pki/ca.key\n'
        f'[ "$3" != issue ] || echo pem >{etc}/broker/broker.pem\n'
        f'[ "$3" != account ] || echo secret >{etc}/secrets/$4',
    )


def _laid(root):
    skipped = {"calls"}
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in skipped and "influxdb-" not in path.name
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an installation is like in which nothing fails."""
    root = tmp_path_factory.mktemp("whole") / "root"
    _programs_of_ours(root)
    done = _run(INSTALL, "--prefix", root, path="/nowhere")
    assert done.returncode == 0, done.stderr
    return _laid(root), str(root)


@pytest.mark.parametrize(
    ("program", "at"),
    [
        *(("base64", 1), ("cat", 1), ("chmod", 1), ("cp", 1), ("cp", 20)),
        *(("head", 2), ("hostname", 1), ("install", 1), ("ln", 1), ("mkdir", 3)),
        *(("mv", 1), ("mv", 9), ("mv", 40), ("sed", 1), ("sed", 20), ("tr", 2)),
    ],
)
def test_a_program_that_fails_ends_install_and_another_run_finishes(
    failing, whole, tmp_path, program, at
):
    root = tmp_path / "root"
    _programs_of_ours(root)
    path, calls = failing(program, at)
    done = _run(INSTALL, "--prefix", root, path=path)
    assert calls.exists(), f"{program} is not used"
    assert len(calls.read_text().splitlines()) == at, "it went on after the failure"
    assert done.returncode == 1
    assert "disk full" in done.stderr
    assert "install.sh: " in done.stderr
    assert "run this again" in done.stderr or "failed" in done.stderr
    secrets = (root / "etc/egiz/secrets").glob("influxdb-*")
    assert {len(path.read_text().partition(":")[2]) for path in secrets} <= {32}
    done = _run(INSTALL, "--prefix", root, path="/nowhere")
    assert done.returncode == 0, done.stderr
    expected, at_first = whole
    found = _laid(root)
    leftover = {name for name in found if name.endswith(".new")}
    assert leftover == set()
    assert found == {k: v.replace(at_first, str(root)) for k, v in expected.items()}


def _wheels(directory, *names):
    directory.mkdir()
    for name in names:
        (directory / f"{name}-py3-none-any.whl").write_text("")
    return directory


ALL = tuple(f"egiz_{name}-1.0.0" for name in ("schema", "cli", "bridge", "infra"))


def test_an_upgrade_installs_the_wheels_that_were_given_by_their_path(tmp_path):
    root = tmp_path / "root"
    _programs_of_ours(root)
    _stand_in(root / "opt/egiz/bin/python", f'echo "$@" >>{tmp_path}/pip')
    wheels = _wheels(tmp_path / "wheels", *ALL, "click-8.1.0")
    done = _run(INSTALL, "--prefix", root, "--wheels", wheels, path="/nowhere")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "pip").read_text().splitlines()
    first, second = (line for line in asked if " install " in line)
    for line in (first, second):
        given = [word for word in line.split() if word.endswith(".whl")]
        assert given == [str(wheels / f"{name}-py3-none-any.whl") for name in ALL]
        assert not [word for word in line.split() if word.startswith("egiz-")]
    assert f"--find-links {wheels}" in first
    assert "--no-index --no-deps --force-reinstall" in second


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (ALL[1:], "there is no egiz_schema in"),
        ((*ALL, "egiz_bridge-1.1.0"), "several versions of egiz_bridge in"),
    ],
)
def test_wheels_that_are_not_one_of_each_are_refused(tmp_path, names, message):
    root = tmp_path / "root"
    _programs_of_ours(root)
    wheels = _wheels(tmp_path / "wheels", *names)
    done = _run(INSTALL, "--prefix", root, "--wheels", wheels, path="/nowhere")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (root / "etc/egiz").exists()


# As root on a machine: /etc, /opt and /usr/local are layers that end with the test.
ON_A_MACHINE = """\
set -eu
[ -d {layers} ] && is_first= || is_first=yes
for place in /etc /opt /usr/local /var/lib; do
  new={layers}$place
  mkdir -p $new/upper $new/work
  given=lowerdir=$place,upperdir=$new/upper,workdir=$new/work
  mount -t overlay overlay -o $given $place
done
mkdir -p /opt/egiz/bin
cp {ours}/* /opt/egiz/bin/
rm -f /etc/os-release  # a link into /usr; this machine may have another system
printf 'ID=debian\\nVERSION_ID=12\\n' >/etc/os-release
# What this machine itself has of others.
[ -z "$is_first" ] || rm -rf /etc/mosquitto/conf.d/*.conf /etc/default/influxdb \\
  /var/lib/influxdb/data /etc/systemd/system/mosquitto* /etc/systemd/system/influxdb* \\
  /etc/systemd/system/prometheus*
{before}
exec sh {install} {options}
"""
SYSTEM = """\
echo "{name} $*" >>{log}
case "{name} $*" in {fails}) echo "{name}: disk full" >&2; exit 1 ;; esac
case "{name} $*" in "systemctl show"*) echo 0 ;; esac
[ {name} != dpkg ] || for one; do echo "{dpkg}"; done | sed 1d
"""


@pytest.fixture
def on_a_machine():
    """install.sh as root, with an apt and a systemctl that only write down."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    with tempfile.TemporaryDirectory(prefix="egiz-machine-", dir="/dev/shm") as name:
        directory = Path(name)

        def run(fails, before="", options="", dpkg=""):
            log = directory / "log"
            log.unlink(missing_ok=True)
            for program in ("apt-get", "dpkg", "systemctl", "sleep", "flock"):
                text = SYSTEM.format(name=program, log=log, fails=fails, dpkg=dpkg)
                _stand_in(directory / "bin" / program, text)
            _stand_in(directory / "ours/python", "exit 0")
            _stand_in(
                directory / "ours/egiz-infra",
                "mkdir -p /etc/egiz/pki /etc/egiz/secrets\n"
                "echo x >/etc/egiz/pki/ca.key",
            )
            script = directory / "script"
            layers = directory / "layers"
            script.write_text(
                ON_A_MACHINE.format(
                    layers=layers,
                    ours=directory / "ours",
                    install=INSTALL,
                    before=before,
                    options=options,
                )
            )
            run.root = layers
            done = subprocess.run(
                ["unshare", "--mount", "sh", script],
                env={
                    **os.environ,
                    "PATH": f"{directory}/bin:{os.environ['PATH']}:/usr/sbin",
                },
                capture_output=True,
                text=True,
                check=False,
            )
            if "mount" in done.stderr and not log.exists():
                pytest.skip(f"no overlay here: {done.stderr}")
            return done, log.read_text().splitlines() if log.exists() else []

        yield run


@pytest.mark.parametrize(
    ("fails", "step"),
    [
        ('"systemctl mask"*', "Debian's packages"),
        ('"apt-get update"*', "Debian's packages"),
        ('"apt-get install"*', "Debian's packages"),
        ('"systemctl unmask"*', "services"),
        ('"systemctl daemon-reload"*', "services"),
        ('"systemctl enable"*', "services"),
        ('"systemctl restart influxdb"*', "influxdb does not start"),
        (
            '"systemctl start egiz-influxdb-http.socket"*',
            "http.socket does not",
        ),
    ],
)
def test_on_a_machine_a_step_that_fails_is_named_and_nothing_starts_open(
    on_a_machine, fails, step
):
    done, calls = on_a_machine(fails)
    assert done.returncode == 1, done.stdout + done.stderr
    assert step in done.stderr
    begun = [call.split()[:2] for call in calls]
    # Off before Debian's packages come, and on when our configuration is there.
    if ["apt-get", "install"] in begun:
        assert begun.index(["systemctl", "mask"]) < begun.index(["apt-get", "install"])
    if step == "Debian's packages":
        assert ["systemctl", "unmask"] not in begun
    mask = next(call for call in calls if call.startswith("systemctl mask"))
    assert "--runtime" not in mask  # a start of the machine would end that
    assert {"influxdb", "mosquitto", "prometheus"} <= set(mask.split())


# Of each service: what somebody configured, and what install.sh names.
UNITS = "/etc/systemd/system"
OF_OTHERS = {
    "mosquitto": (
        """\
echo 'listener 1884' >'/etc/mosquitto/conf.d/our site.conf'
echo '# theirs' >>/etc/mosquitto/mosquitto.conf""",
        ["/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/our site.conf"],
    ),
    "influxdb": (
        """\
mkdir -p /var/lib/influxdb/data/_internal '/var/lib/influxdb/data/home *'""",
        ["/var/lib/influxdb/data/home *"],
    ),
    "prometheus": (
        "echo '# theirs' >>/etc/prometheus/prometheus.yml",
        ["/etc/prometheus/prometheus.yml"],
    ),
    "prometheus-node-exporter": (
        f"""\
mkdir -p {UNITS}/prometheus-node-exporter.service.d
echo '[Service]' >{UNITS}/prometheus-node-exporter.service.d/override.conf""",
        [f"{UNITS}/prometheus-node-exporter.service.d/override.conf"],
    ),
}


def _upper(on_a_machine, path):
    """What install.sh has changed of /etc or /var/lib."""
    top = next(p for p in ("/etc", "/var/lib") if path.startswith(p))
    return on_a_machine.root / top[1:] / "upper" / path.removeprefix(f"{top}/")


@pytest.mark.parametrize("service", OF_OTHERS)
def test_what_somebody_else_configured_is_named_and_not_taken_over(
    on_a_machine, service
):
    before, files = OF_OTHERS[service]
    done, calls = on_a_machine("none", before)
    assert done.returncode == 1, done.stdout + done.stderr
    named = [line.split(": ") for line in done.stderr.splitlines() if ": /" in line]
    assert named == [[f"  {service}", file] for file in files]
    assert "nothing was changed" in done.stderr
    assert "run this again with --take-over" in done.stderr
    assert not [call for call in calls if call.startswith(("systemctl", "apt"))]
    assert not _upper(on_a_machine, "/etc/egiz").exists()


def test_what_is_taken_over_is_kept_and_never_asked_for_again(on_a_machine):
    before = "\n".join(text for text, _ in OF_OTHERS.values())
    done, _ = on_a_machine("none", before, "--take-over")
    assert done.returncode == 0, done.stdout + done.stderr
    for service, (_, files) in OF_OTHERS.items():
        for file in files:
            assert f"{service}" in done.stdout
            assert file in done.stdout
            kept = _upper(on_a_machine, f"/etc/egiz/before{file}")
            assert kept.is_file() == ("influxdb/data" not in file)
    # It would be in force after ours.
    drop_in = OF_OTHERS["prometheus-node-exporter"][1][0]
    assert not _upper(on_a_machine, drop_in).is_file()
    ours = drop_in.replace("override", "egiz")
    assert _upper(on_a_machine, ours).is_file()
    done, _ = on_a_machine("none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no longer runs with" not in done.stdout


def test_a_package_that_is_half_installed_is_finished(on_a_machine):
    half = "Status: install ok half-configured"
    done, calls = on_a_machine("none", dpkg=half)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apt-get install" in " ".join(calls)
    done, calls = on_a_machine("none", dpkg="Status: install ok installed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apt-get" not in " ".join(calls)


# Ends install.sh, and all that it has started, before or after its N-th call.
KILLER = """\
#!/bin/sh
echo x >>{calls}
is_now() {{ [ "$(/usr/bin/wc -l <{calls})" = {at} ]; }}
[ {when} = after ] || ! is_now || kill -KILL 0
{real} "$@" || exit
! is_now || kill -KILL 0
"""


@pytest.mark.parametrize(
    ("program", "at", "when"),
    [
        *(("mv", 3, "before"), ("mv", 9, "before"), ("mv", 19, "after")),
        *(("mv", 10, "after"), ("mv", 40, "after"), ("cp", 12, "after")),
        *(("chmod", 1, "before"), ("ln", 1, "before"), ("sed", 9, "after")),
    ],
)
def test_an_installation_that_was_killed_is_finished_by_another_run(
    whole, tmp_path, program, at, when
):
    root = tmp_path / "root"
    _programs_of_ours(root)
    shim = tmp_path / "kills" / program
    calls = tmp_path / "calls"
    text = KILLER.format(calls=calls, at=at, when=when, real=shutil.which(program))
    _stand_in(shim, text.removeprefix("#!/bin/sh\n"))
    done = _run(INSTALL, "--prefix", root, path=shim.parent, is_alone=True)
    assert done.returncode == -signal.SIGKILL
    # With another setting: a file that it wrote is not one that the operator changed.
    settings = {"EGIZ_NODE": "127.0.0.1:9"}
    done = _run(INSTALL, "--prefix", root, path="/nowhere", **settings)
    assert done.returncode == 0, done.stderr
    assert "you changed" not in done.stdout
    settings = {"EGIZ_NODE": "127.0.0.1:9100"}
    done = _run(INSTALL, "--prefix", root, path="/nowhere", **settings)
    assert done.returncode == 0, done.stderr
    assert "you changed" not in done.stdout
    expected, at_first = whole
    found = {k: v for k, v in _laid(root).items() if not k.endswith(".new")}
    assert found == {k: v.replace(at_first, str(root)) for k, v in expected.items()}


def test_pip_installs_into_the_environment_whatever_it_does_elsewhere(tmp_path):
    root = tmp_path / "root"
    _programs_of_ours(root)
    noted = f'case "$*" in *" install "*) env >>{tmp_path}/pip ;; esac'
    _stand_in(root / "opt/egiz/bin/python", noted)
    elsewhere = dict.fromkeys(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), "/nowhere")
    done = _run(INSTALL, "--prefix", root, path="/nowhere", PIP_USER="1", **elsewhere)
    assert done.returncode == 0, done.stderr
    seen = set((tmp_path / "pip").read_text().splitlines())
    assert "PIP_USER=0" in seen
    assert not {line.partition("=")[0] for line in seen} & {*elsewhere}


def test_an_environment_without_pip_is_made_again(tmp_path):
    """Killed while it was made: there is a Python in it, and no pip yet."""
    root = tmp_path / "root"
    _programs_of_ours(root)
    pip = tmp_path / "pip"
    _stand_in(root / "opt/egiz/bin/python", f"[ -e {pip} ]")
    _stand_in(
        tmp_path / "bin/python3", f'[ "$*" = "-m venv {root}/opt/egiz" ] && >{pip}'
    )
    done = _run(INSTALL, "--prefix", root, path=tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    assert pip.exists()


def test_a_command_of_the_operator_that_was_changed_stays(tmp_path):
    root = tmp_path / "root"
    _programs_of_ours(root)
    _run(INSTALL, "--prefix", root, path="/nowhere")
    program = root / "usr/local/sbin/egiz-infra"
    program.write_text(program.read_text() + "# by hand\n")
    done = _run(INSTALL, "--prefix", root, path="/nowhere", EGIZ_NODE="a:9")
    assert done.returncode == 0, done.stderr
    assert "# by hand" in program.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(
    ("program", "at"),
    [("base64", 1), ("cat", 3), ("chown", 2), ("head", 2), ("chmod", 1), ("mv", 2)],
)
def test_a_program_that_fails_ends_setup_and_another_run_finishes(
    failing, tmp_path, program, at
):
    root, run = tmp_path / "egiz", tmp_path / "run"
    for name in ("egiz/broker", "run/mosquitto-data", "run/write", "run/read"):
        (tmp_path / name).mkdir(parents=True)
    here = {"EGIZ_DIRECTORY": str(root), "EGIZ_RUN": str(run)}
    path, _ = failing(program, at)
    programs = tmp_path / "programs"
    _stand_in(
        programs / "egiz-infra",
        f"mkdir -p {root}/pki {root}/secrets\n"
        f'[ "$1" != init ] || echo key >{root}/pki/ca.key\n'
        f'[ "$1" != account ] || echo {"x" * 40} >{root}/secrets/$2',
    )
    done = _run(SETUP, path=f"{path}:{programs}", **here)
    assert done.returncode != 0
    assert "disk full" in done.stderr
    assert "setup.sh: failed: " in done.stderr
    assert not [p for p in run.rglob("*") if p.is_file() and p.stat().st_size == 0]
    done = _run(SETUP, path=programs, **here)
    assert done.returncode == 0, done.stderr
    handed = {p.name: p.read_text() for p in run.rglob("*") if p.is_file()}
    assert set(handed) == {"admin", "mosquitto_rr", "mqtt", "password", "token"}
    assert min(map(len, handed.values())) >= 32
