"""Where `.ci/engines` has left the engines."""

import os
import shutil
from pathlib import Path

import pytest


def found(*parts: str) -> Path:
    """A file or folder of the cache; the test fails if it is not there."""
    path = _cache().joinpath(*parts)
    if not path.exists():
        pytest.fail(f"{path} is missing: make engines", pytrace=False)
    return path


def _cache() -> Path:
    if given := os.environ.get("EGIZ_ENGINES"):
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "egiz-engines"


# Machine of a program -> its loader.
_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "i386": "ld-linux.so.2"}


def with_its_libraries(system: str, program: str, machine: str = "x86_64") -> list[str]:
    """The command of a program of another Debian: its libraries are not ours."""
    libraries = found(system, f"usr/lib/{machine}-linux-gnu")
    loader = libraries / _LOADERS[machine]
    return [str(loader), "--library-path", str(libraries), str(found(system, program))]


def script(path: Path, command: list[str]) -> Path:
    """Make `path` a program that runs `command` with what it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = " ".join(f"'{word}'" for word in command)
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    assert shutil.which(str(path))
    return path
