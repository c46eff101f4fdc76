"""The images: what a linter says of their file, and what must not get into them."""

import re
import subprocess

from rig.process import own_program
from rig.servers import REPOSITORY

FILE = REPOSITORY / "infra/docker/Dockerfile"
TEXT = FILE.read_text()
# Comments and continued lines are one instruction.
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in re.sub(r"(?m)^#.*\n", "", TEXT).replace("\\\n", " ").splitlines()
    if line.strip()
]
STAGES = {}
for _name, _rest in INSTRUCTIONS:
    if _name == "FROM":
        _base, _, _stage = _rest.partition(" AS ")
        STAGES[_stage] = [("FROM", _base)]
    elif STAGES:
        STAGES[list(STAGES)[-1]].append((_name, _rest))
FINAL = ("bridge", "sim", "infra", "exporter")


def _all(stage, name):
    """The arguments of an instruction, those of the stages below included."""
    base = STAGES[stage][0][1]
    below = _all(base, name) if base in STAGES else []
    return below + [rest for found, rest in STAGES[stage] if found == name]


def test_the_linter_finds_nothing():
    command = [own_program("hadolint"), "--strict-labels", FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_final_stages_build_nothing():
    assert set(STAGES) == {"wheels", "runtime", *FINAL}
    for stage in FINAL:
        ran = " ".join(_all(stage, "RUN"))
        assert not re.search(r"pip (install|wheel)|gcc|make|build-essential", ran)
    for stage in ("bridge", "sim", "infra"):
        assert "pip uninstall" in " ".join(_all(stage, "RUN"))


def test_everything_of_others_is_installed_as_a_wheel():
    (installs,) = [rest for rest in _all("wheels", "RUN") if " install " in rest]
    assert "--only-binary :all:" in installs


def test_pip_installs_into_the_environments_whatever_the_base_image_says():
    assert "PIP_USER=0" in _all("wheels", "ENV")


def test_services_run_as_an_unprivileged_user():
    users = {stage: _all(stage, "USER")[-1].split(":")[0] for stage in FINAL}
    # setup gives files to the others; compose removes all its other rights.
    assert users.pop("infra") == "0"
    assert all(int(user) >= 10000 for user in users.values())


def test_bases_have_a_version():
    bases = [rest for name, rest in INSTRUCTIONS if name == "ARG"]
    assert bases == [
        "PYTHON=python:3.13-slim-bookworm",
        "DEBIAN=debian:bookworm-slim",
    ]
    for stage in STAGES.values():
        base = stage[0][1]
        assert base in STAGES or base in {"${PYTHON}", "${DEBIAN}"}


def test_the_builder_gets_what_is_copied_and_nothing_else():
    ignore = FILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        rest.split()[0]
        for stage in STAGES
        for name, rest in STAGES[stage]
        if name == "COPY" and not rest.startswith("--from")
    }
    assert let_in == copied
    for source in copied:
        assert (REPOSITORY / source).exists()
