"""What the measurements share: a broker, the firmware, the interpreter."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from egiz_edge_tools.bundle import stage
from egiz_edge_tools.virtual_board import find_interpreter
from rig.servers import Mosquitto


@contextlib.contextmanager
def fresh_broker() -> Iterator[tuple[Mosquitto, Path]]:
    """A broker, and a directory that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        directory = Path(name)
        broker = Mosquitto(directory / "mosquitto")
        broker.start()
        try:
            yield broker, directory
        finally:
            broker.kill()


def firmware(directory: Path) -> Path:
    """The compiled firmware, as an import path."""
    path = directory / "firmware"
    path.mkdir()
    stage(path)
    return path


def interpret(
    code: str, *arguments: str, path: list[Path], heap: str
) -> subprocess.Popen[str]:
    """Start the interpreter; what it prints is for the caller to read."""
    return subprocess.Popen(
        [find_interpreter(), "-X", f"heapsize={heap}", "-c", code, *arguments],
        env={"MICROPYPATH": ":".join([*map(str, path), ".frozen"])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def share(values: list[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
