"""The public half of the keys: the key set, and the modulus of the root key.

    keys/
    ├── keys            the key set, signed by the root key: what devices get
    ├── root.modulus    what a device knows the root key by
    ├── root.pem        the root key: keep it offline
    └── r1.pem, r2.pem  the release keys

A directory with the first two is enough to verify a release.
"""

import io
import os
from collections.abc import Mapping
from pathlib import Path

from egiz_edge.ota.keys import ROOT, KeySet, modulus
from egiz_edge.ota.signed import KEY_SET, MODULUS_BYTES, Refused

from egiz_edge_tools.errors import ReleaseError

SET, ROOT_MODULUS = "keys", "root.modulus"
PUBLIC = 0o644


def read_set(directory: Path) -> KeySet:
    """The key set of a directory, checked with the root's modulus there.

    Raises:
        ReleaseError: if one of the two is damaged.
        OSError: if one cannot be read.
    """
    path = directory / SET
    try:
        return KeySet(io.BytesIO(path.read_bytes()), read_root(directory))
    except Refused as error:
        raise ReleaseError(
            f"{path}: {error}; is it the set of this {ROOT_MODULUS}?"
        ) from None


def read_root(directory: Path) -> int:
    """The modulus of the root key.

    Raises:
        ReleaseError: if the file is damaged.
        OSError: if it cannot be read.
    """
    path = directory / ROOT_MODULUS
    try:
        return int(modulus(path.read_bytes().decode("ascii").strip()))
    except ValueError:
        raise ReleaseError(
            f"{path}: not the {MODULUS_BYTES * 2} hexadecimal digits of a root key"
        ) from None


def set_text(number: int, moduli: Mapping[str, int]) -> bytes:
    """What the root key signs."""
    keys = "".join(f"{key} {spelt(value)}\n" for key, value in sorted(moduli.items()))
    return f"egiz-keys {number}\n{keys}".encode()


def signed_set(text: bytes, signature: bytes) -> bytes:
    """The key set as a file."""
    line = f"{KEY_SET} {ROOT} {len(signature)} {len(text)}\n"
    return line.encode() + signature + text


def spelt(value: int) -> str:
    """A modulus as files have it."""
    return f"{value:0{MODULUS_BYTES * 2}x}"


def replace_file(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Write a file by a rename, so that a reader never finds half of it."""
    path = Path(os.path.realpath(path))  # a link stays one
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    create_file(new, content, mode)
    new.replace(path)


def create_file(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Write a file that must not be there yet, with its mode from the start."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
