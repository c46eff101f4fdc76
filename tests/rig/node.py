"""Programs of others that npm installs, for tests of what they read."""

import subprocess
from pathlib import Path

from rig.process import require

# Exact, so that a release of theirs cannot break a commit of ours.
PACKAGES = (
    "@asyncapi/parser@3.6.6",
    "ajv@8.20.0",
    "axe-core@4.11.0",
    "mqtt@5.16.0",
    "typescript@7.0.2",
)


def install(directory: Path, *names: str) -> Path:
    """Make `directory` one in which node finds the packages, or only those named."""
    require("node", "apt-get install nodejs")
    npm = require("npm", "apt-get install npm")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    wanted = [one for one in PACKAGES if not names or one.rpartition("@")[0] in names]
    run([npm, "install", *quiet, "--prefix", str(directory), *wanted], directory)
    return directory


def run(command: list[str], directory: Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
