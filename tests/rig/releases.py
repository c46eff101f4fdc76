"""Keys and releases of tests, and what host and device say of a file."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.release import Release
from egiz_edge.ota.signed import Refused
from egiz_edge_tools.keys import read_set
from egiz_edge_tools.packing import Unsigned, compose
from egiz_edge_tools.private_keys import generate, load, sign
from egiz_edge_tools.release import verify

from rig.micropython import MicroPython

PASSPHRASE = b"correct horse"
HEAD = {
    "egiz": "1",
    "version": "9.0.1",
    "security": "3",
    "target": "esp32",
    "mpy": "6 0",
    "boot": "1",
    "keys": "1",
}
FILES = [
    ("egiz_edge/app.mpy", b"M\x06\0\x1fapp"),
    ("egiz_edge/drivers/pzem.mpy", b"M\x06\0\x1f"),
    ("egiz_schema/__init__.py", b""),
]
# A board that has run security 2, with free bytes of flash in blocks of 4 KB.
BOARD = ("esp32", 6, 1, 2)
ROOM = (500 * 1024, 4096)
# Prints the reason or "sound" of each file that a list names.
_DEVICE = """
import sys
from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.release import Release
from egiz_edge.ota.release import Release
from egiz_edge.ota.signed import Refused
with open("root.modulus") as file:
    root = int(file.read(), 16)
with open("keys", "rb") as file:
    keys = KeySet(file, root)
def read(path):
    with open(path, "rb") as file:
        release = Release(file, keys)
        release.check_files()
        release.check_board(*%r)
        release.check_room(*%r)
with open(sys.argv[1]) as paths:
    for path in paths:
        try:
            read(path[:-1])
            print("sound")
        except Refused as error:
            print(error)
"""


class Releases:
    """A directory of keys, and what can be signed with them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        generate(directory, PASSPHRASE)
        self._private = {
            key: load(directory / f"{key}.pem", PASSPHRASE) for key in ("r1", "r2")
        }

    @property
    def keys(self) -> KeySet:
        """The key set."""
        return read_set(self.directory)

    def signature(self, content: bytes, key: str = "r1") -> bytes:
        """Of a key of the directory."""
        return sign(self._private[key], content)

    def signed(self, made: Unsigned, key: str = "r1") -> bytes:
        """A release as a file."""
        return made.signed(key, self.signature(made.manifest, key))

    def release(
        self,
        files: Sequence[tuple[str, bytes]] = FILES,
        key: str = "r1",
        **head: str,
    ) -> bytes:
        """A small release that is sound but for what is given."""
        lines = [f"{name} {value}" for name, value in (HEAD | head).items()]
        return self.signed(compose("9.0.1", [*lines, ""], files), key)

    def on_host(self, path: Path) -> str:
        """The reason, or `sound`."""
        try:
            verify(path, self.keys)
            with path.open("rb") as file:
                release = Release(file, self.keys)
                release.check_board(*BOARD)
                release.check_room(*ROOM)
        except Refused as error:
            return str(error)
        return "sound"

    def on_device(
        self,
        micropython: MicroPython,
        firmware: Path,
        paths: Sequence[Path],
        heap: str = "72k",
        floor: int = BOARD[-1],
    ) -> list[str]:
        """The same of each file, by the interpreter; `floor` is of security."""
        code = _DEVICE % ((*BOARD[:-1], floor), ROOM)
        listed = paths[0].with_suffix(".list")
        listed.write_text("".join(f"{path}\n" for path in paths))
        done = subprocess.run(
            [micropython.program, "-X", f"heapsize={heap}", "-c", code, listed],
            env={"MICROPYPATH": f"{firmware}:.frozen"},
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()
