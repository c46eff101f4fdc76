"""Firmware, releases and a flash for updates on virtual boards, in seconds."""

import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from egiz_edge import __name__ as package

from rig.firmware import Firmware
from rig.releases import Releases

CRASHES = "raise ValueError('broken release')\n"
# Seconds in place of minutes and hours: of a file, what stands there and what is put.
_BRIEF = {
    "timeouts.py": (("CONFIRM_MS = 60000", "CONFIRM_MS = 3000"),),
    "ota/rollout.py": (
        ("JITTER_S = 300", "JITTER_S = 2"),
        ("AGAIN_S = 3600", "AGAIN_S = 6"),
        ("CLOCK_S = 15", "CLOCK_S = 1"),
    ),
    "ota/install.py": (("TOTAL_MS = 300000", "TOTAL_MS = 1500"),),
    "app.py": (("_AWAY_MS = 60000", "_AWAY_MS = 2000"),),
    "downlink.py": (("_LOOK_S = 60", "_LOOK_S = 2"),),
    "desired_firmware.py": (
        ("_AFTER_S = 60", "_AFTER_S = 2"),
        ("_BUSY_S = 60", "_BUSY_S = 1"),
        ("_BIRTH_S = 60", "_BIRTH_S = 3"),
    ),
}


def brief() -> dict[str, str]:
    """Path -> code of the files of the firmware that have such times."""
    found = {}
    for path, changes in _BRIEF.items():
        code = (files(package) / path).read_text("utf-8")
        for old, new in changes:
            assert old in code, (path, old)
            code = code.replace(old, new)
        found[f"egiz_edge/{path}"] = code
    return found


class Rollouts:
    """A firmware, its keys and its releases; all boards of a test have them.

    Args:
        directory: empty.
        replaced: path -> code of the firmware that boards get by cable.
    """

    def __init__(
        self, directory: Path, replaced: Mapping[str, str] | None = None
    ) -> None:
        self._sound = Firmware(directory / "sound", brief())
        self._installed = directory / "installed"
        self._sound.write(self._installed, replaced=replaced)
        self.keys = Releases(directory / "keys")

    def install(self, directory: Path, *_: str) -> None:
        """In place of `stage`: the firmware of all boards, compiled once."""
        shutil.copytree(self._installed, directory, dirs_exist_ok=True)

    def provision(self, flash: Path) -> None:
        """Bring the keys onto a board, as a cable does."""
        flash.mkdir(exist_ok=True)
        shutil.copy(self.keys.directory / "keys", flash / "keys")
        root = (self.keys.directory / "root.modulus").read_text().strip()
        (flash / "store_root").write_text(root)

    def release(
        self, version: str = "0.2.0", replaced: Mapping[str, str] | None = None
    ) -> bytes:
        """A release of the firmware; its version is of five characters."""
        return self.keys.signed(self._sound.release(version, replaced))
