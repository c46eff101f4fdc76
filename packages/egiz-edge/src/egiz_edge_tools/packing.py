"""A slot's files as one: their manifest, and the release that is made of them.

`egiz_edge.ota.release` has the format. The same files give the same bytes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from egiz_edge.ota.release import BOOT, FORMAT
from egiz_edge.ota.signed import NO_KEY, RELEASE


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A release before it is signed.

    Attributes:
        version: of the firmware.
        manifest: what is signed.
        files: the content of all files, one after another.
    """

    version: str
    manifest: bytes
    files: bytes

    def head(self, key: str = NO_KEY, signature: bytes = b"") -> bytes:
        """What comes before the files; a slot has it as its file `release`."""
        line = f"{RELEASE} {key} {len(signature)} {len(self.manifest)}\n"
        return line.encode() + signature + self.manifest

    def signed(self, key: str = NO_KEY, signature: bytes = b"") -> bytes:
        """The release as a file."""
        return self.head(key, signature) + self.files


def pack(
    directory: Path, version: str, target: str, security: int = 0, keys: int = 0
) -> Unsigned:
    """A release of the files in a directory.

    Args:
        directory: what is to be in a slot.
        version: of the firmware.
        target: sys.platform of the boards that it is for.
        security: a device that has run a higher one refuses this release.
        keys: lowest number of the key set that a device must have.
    """
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    mpy = max(interpreter_of(path) for path in paths if path.suffix == ".mpy")
    head = [
        f"egiz {FORMAT}",
        f"version {version}",
        f"security {security}",
        f"target {target}",
        f"mpy {mpy[0]} {mpy[1]}",
        f"boot {BOOT}",
        f"keys {keys}",
        "",
    ]
    names = {path.relative_to(directory).as_posix(): path for path in paths}
    return compose(
        version, head, [(name, names[name].read_bytes()) for name in sorted(names)]
    )


def compose(
    version: str, head: Iterable[str], files: Iterable[tuple[str, bytes]]
) -> Unsigned:
    """A release of these lines and files, as they are."""
    files = list(files)
    lines = [
        f"{path} {len(content)} {hashlib.sha256(content).hexdigest()}"
        for path, content in files
    ]
    manifest = "".join(f"{line}\n" for line in [*head, *lines]).encode()
    return Unsigned(version, manifest, b"".join(content for _, content in files))


def interpreter_of(path: Path) -> tuple[int, int]:
    """Bytes 1 and 2 of a .mpy file.

    The bytecode's version, and for native code its architecture (else 0).
    """
    header = path.read_bytes()[:4]  # "M", version, architecture, bits of a small int
    return header[1], header[2]
