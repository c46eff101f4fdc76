"""The packages as another team gets them: built, installed in a clean environment."""

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "egiz-schema",
    "egiz-cli",
    "egiz-edge",
    "egiz-bridge",
    "egiz-sim",
    "egiz-infra",
)
WITHOUT_SIBLINGS = {"egiz-schema", "egiz-cli"}
MODULES = {
    "egiz-schema": ("egiz_schema_launch", "egiz_schema"),
    "egiz-cli": ("egiz_launch", "egiz_cli"),
    "egiz-edge": ("egiz_edge", "egiz_edge_tools"),
    "egiz-bridge": ("egiz_bridge",),
    "egiz-sim": ("egiz_sim",),
    "egiz-infra": ("egiz_infra",),
}
# Beside the modules: the program that a board starts, which nothing imports.
PROGRAMS = {"egiz-edge": {"egiz_edge_boot"}}
CONSUMER = """
from typing import assert_type
import egiz_schema as egiz

def setpoint(topic: str, payload: bytes) -> float | None:
    message = egiz.decode(topic, payload)
    assert_type(message, egiz.Telemetry | egiz.Status | egiz.Config | egiz.Command)
    if isinstance(message, egiz.Telemetry) and message.thermal:
        return message.thermal.setpoint
    return None
"""


def _run(*command, cwd=None):
    # Nothing of the environment that runs the tests: as in a user's shell.
    env = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    env |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL"))}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(dist):
    """What `make build` writes: package name -> wheel."""
    found = {p.name.split("-")[0]: p for p in dist.glob("*.whl")}
    assert set(found) == {name.replace("-", "_") for name in PACKAGES}
    assert len(list(dist.glob("*.tar.gz"))) == len(PACKAGES)
    return {name: found[name.replace("-", "_")] for name in PACKAGES}


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """A clean environment with all wheels and nothing of the checkout."""
    directory = tmp_path_factory.mktemp("clean") / "venv"
    _run(sys.executable, "-m", "venv", str(directory))
    python = str(directory / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", *map(str, wheels.values()))
    return directory


def _metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.parametrize("name", PACKAGES)
def test_siblings_are_ordinary_dependencies(wheels, name):
    metadata = _metadata(wheels[name])
    required = metadata.get_all("Requires-Dist")
    assert not [line for line in required if "@" in line or "file:" in line]
    siblings = [line for line in required if line.startswith("egiz-")]
    assert all(">=" in line and "<" in line for line in siblings)
    assert bool(siblings) == (name not in WITHOUT_SIBLINGS)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert len(metadata.get_payload()) > 500  # the README


@pytest.mark.parametrize("name", PACKAGES)
def test_a_module_has_the_version_of_its_wheel(installed, wheels, name):
    module = MODULES[name][-1]  # of egiz-edge, the one of the host
    python = str(installed / "bin" / "python")
    printed = _run(python, "-I", "-c", f"import {module}; print({module}.__version__)")
    assert printed.strip() == _metadata(wheels[name])["Version"]


def test_the_firmware_reports_the_version_of_its_wheel(installed, wheels):
    code = "from egiz_edge.report import FIRMWARE_VERSION; print(FIRMWARE_VERSION)"
    printed = _run(str(installed / "bin" / "python"), "-I", "-c", code)
    assert printed.strip() == _metadata(wheels["egiz-edge"])["Version"]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_is_typed_and_holds_the_package_only(wheels, name):
    with zipfile.ZipFile(wheels[name]) as archive:
        names = archive.namelist()
    for module in MODULES[name]:
        if module != "egiz_edge":  # the device has no typing
            assert f"{module}/py.typed" in names
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert tops == set(MODULES[name]) | PROGRAMS.get(name, set())
    assert any(n.endswith("LICENSE") for n in names)


def test_the_contract_pulls_msgspec_and_nothing_else(wheels):
    required = _metadata(wheels["egiz-schema"]).get_all("Requires-Dist")
    assert [line for line in required if "extra ==" not in line] == ["msgspec>=0.21"]


def test_every_package_imports_from_its_wheel(installed):
    python = str(installed / "bin" / "python")
    for name, modules in MODULES.items():
        for module in modules:
            code = f"import {module}; print({module}.__file__)"
            assert str(installed) in _run(python, "-I", "-c", code), name


@pytest.mark.parametrize(
    "program", ["egiz-bridge", "egiz-sim", "egiz-edge", "egiz-infra"]
)
def test_every_program_explains_itself(installed, wheels, program):
    path = str(installed / "bin" / program)
    assert "Commands:" in _run(path, "--help")
    (version,) = {wheel.name.split("-")[1] for wheel in wheels.values()}
    assert _run(path, "--version") == f"{program} {version}\n"
    assert "Exit codes:" in _run(path, "completion", "--help")


def test_the_contract_works_without_its_extras(wheels, tmp_path):
    """msgspec alone: no pydantic to read with, no jsonschema, no click."""
    directory = tmp_path / "venv"
    _run(sys.executable, "-m", "venv", str(directory))
    python = str(directory / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", str(wheels["egiz-schema"]))
    listed = _run(python, "-m", "pip", "list", "--format", "freeze").split()
    assert {line.split("==")[0] for line in listed} - {"pip", "setuptools"} == {
        "egiz-schema",
        "msgspec",
    }
    program = str(directory / "bin" / "egiz-schema")
    _run(program, "vectors")
    _run(program, "gate")
    _run(program, "explain", "thermal.setpoint")
    _run(program, "generate", "--directory", str(tmp_path / "documents"))
    assert "Commands:" in _run(program, "--help")


def test_the_vectors_are_in_the_wheel(installed):
    code = (
        "from importlib.resources import files; import json;"
        "f = files('egiz_schema') / 'vectors' / 'topics.json';"
        "print(len(json.loads(f.read_text())['vectors']))"
    )
    python = str(installed / "bin" / "python")
    assert int(_run(python, "-I", "-c", code)) > 60


def test_a_service_gets_its_types_from_the_wheel(installed, tmp_path):
    consumer = tmp_path / "consumer.py"
    consumer.write_text(CONSUMER)
    python = str(installed / "bin" / "python")
    command = ("--strict", "--python-executable", python, str(consumer))
    _run(sys.executable, "-m", "mypy", *command, cwd=tmp_path)
