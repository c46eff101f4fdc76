"""`egiz-edge deploy --keys`: what a board verifies releases with, over a cable."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from egiz_edge_tools.errors import ReleaseError
from egiz_edge_tools.keys import SET, read_root, read_set, spelt
from egiz_edge_tools.remote import Remote

_PROGRAM = Path(__file__).parent / "keys_on_board.py"


class PublicKeys(msgspec.Struct, frozen=True):
    """What a board gets of a directory of keys.

    Attributes:
        set_file: the key set.
        number: of the set.
        root: modulus of the root key, as 768 hexadecimal digits.
    """

    set_file: Path
    number: int
    root: str


def public_keys(directory: Path) -> PublicKeys:
    """Read and check them, before a board is stopped.

    Raises:
        ReleaseError: if a file is missing or damaged.
    """
    try:
        keys, root = read_set(directory), read_root(directory)
    except OSError as error:
        raise ReleaseError(f"{error.filename}: {error.strerror}") from None
    return PublicKeys(directory / SET, keys.number, spelt(root))


def send_keys(remote: Remote, keys: PublicKeys, show: Callable[[str], None]) -> None:
    """Bring them onto a board.

    Raises:
        PortError: if the board cannot be reached, or is no ESP32.
    """
    output = remote.run(
        ("run", str(_PROGRAM)),
        ("exec", f"put_root({keys.root!r})"),
        ("fs", "cp", "-f", str(keys.set_file), ":/keys.new"),
        ("exec", "use_set()"),
    )
    (root,) = [line for line in output if line.startswith("root key: ")]
    show(f"{root}; key set {keys.number}")
