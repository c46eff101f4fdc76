"""The firmware, compiled once for the boards and releases of a test."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from egiz_edge_tools.bundle import stage_modules
from egiz_edge_tools.compiling import compile_file
from egiz_edge_tools.containers import contain
from egiz_edge_tools.packing import Unsigned, pack


class Firmware:
    """For the virtual board.

    Args:
        directory: empty.
        replaced: path -> code in place of a file's.
    """

    def __init__(
        self, directory: Path, replaced: Mapping[str, str] | None = None
    ) -> None:
        self._modules, self._slot = directory / "modules", directory / "slot"
        stage_modules(self._modules, replaced=replaced or {})
        self.write(self._slot)

    def stage(self, to: Path, *_: str) -> None:
        """In place of that of the bundle."""
        shutil.copytree(self._slot, to, dirs_exist_ok=True)

    def write(
        self,
        to: Path,
        version: str = "0.1.0",
        replaced: Mapping[str, str] | None = None,
        *,
        is_contained: bool = True,
    ) -> None:
        """Into `to`: a slot with another version, of five characters, or other files.

        Without containers, each module is a file of its own: the shape of a slot from
        before there were any.
        """
        shutil.copytree(self._modules, to)
        for path in to.rglob("*.mpy"):
            path.write_bytes(path.read_bytes().replace(b"0.1.0", version.encode()))
        for name, code in (replaced or {}).items():
            compile_file(code, to, name, "host")
        if is_contained:
            contain(to, "host")

    def release(
        self,
        version: str = "0.2.0",
        replaced: Mapping[str, str] | None = None,
        *,
        is_contained: bool = True,
    ) -> Unsigned:
        """A release of what `write` writes."""
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name) / "slot"
            self.write(directory, version, replaced, is_contained=is_contained)
            return pack(directory, version, "linux")
