"""`.ci/engines`: an engine that cannot be had is named, with the reason, and fails."""

import os
import subprocess
import sys

import pytest
from rig.servers import REPOSITORY


def _engines(tmp_path, *names, **env):
    return subprocess.run(
        ["/bin/sh", ".ci/engines", *names],
        cwd=REPOSITORY,
        env={**os.environ, "EGIZ_ENGINES": str(tmp_path / "engines"), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("nats", "needs apt of Debian"),
        ("questdb", "needs Java 17 and Maven"),
        ("influxdb", "needs Go, and Rust with rustup"),
        ("natz", "no such engine: natz"),
    ],
)
def test_an_engine_that_cannot_be_had_fails_the_run(tmp_path, engine, reason):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "mkdir"):
        (programs / name).symlink_to(f"/bin/{name}")
    done = _engines(tmp_path, engine, PATH=str(programs))
    assert done.returncode == 1
    assert reason in done.stderr
    assert f"NOT RUN: {engine} could not be got" in done.stderr


def test_make_test_leaves_the_engines_out():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "--collect-only", "-q"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tests/test_engines.py" in done.stdout
    assert "tests/engines/" not in done.stdout
