"""A release: the firmware as one file, which a device fetches, checks and runs.

`egiz_edge.ota.release` has the format, and reads it here as on a device, so that both
give the same reasons. The same sources give the same bytes.
"""

import hashlib
import io
import tempfile
from pathlib import Path

from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.release import Release, is_version
from egiz_edge.ota.signed import MODULUS_BYTES, NO_KEY, RELEASE, Refused, Signed, fits

from egiz_edge_tools import __version__
from egiz_edge_tools.bundle import stage
from egiz_edge_tools.keys import replace_file
from egiz_edge_tools.packing import Unsigned, pack

# sys.platform of a board -> what its files are compiled for.
TARGETS = {"esp32": "xtensawin", "linux": "host"}
ENDING = ".egz"


def make(
    security: int = 0, keys: int = 0, target: str = "esp32", version: str = __version__
) -> Unsigned:
    """Compile the firmware into a release.

    Args:
        security: a device that has run a higher one refuses this release.
        keys: lowest number of the key set that a device must have.
        target: a key of `TARGETS`.
        version: of the firmware.

    Raises:
        BundleError: if a file does not compile.
    """
    assert is_version(version), version
    with tempfile.TemporaryDirectory(prefix="egiz-edge-") as directory:
        stage(Path(directory), TARGETS[target])
        return pack(Path(directory), version, target, security, keys)


def verify(path: Path, keys: KeySet | None) -> Release:
    """Read a release to its end.

    Args:
        path: of the file.
        keys: None asks for no signature.

    Raises:
        Refused: with the reason.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        release = Release(file, keys)
        release.check_files()
        return release


def attach(path: Path, signature: bytes, keys: KeySet | None) -> str:
    """Put a signature that was made elsewhere into a release; gives the id of its key.

    Args:
        path: of the release; its old signature, if any, is replaced.
        signature: of its manifest.
        keys: None names no key, and checks none.

    Raises:
        Refused: if the file is not a sound release, or the signature not its own.
        OSError: if it cannot be read or written.
    """
    release = verify(path, None)
    if len(signature) != MODULUS_BYTES:
        raise Refused(
            f"the signature has {len(signature)} bytes, not {MODULUS_BYTES}: it must be"
            " that of RSA with 3072 bits, as `openssl dgst -sha256 -sign` makes it"
        )
    content = path.read_bytes()
    signed = Signed(io.BytesIO(content), RELEASE)
    manifest = content[signed.start : signed.end]
    key = NO_KEY if keys is None else _signer(keys, signature, manifest)
    whole = Unsigned(release.version, manifest, content[signed.end :])
    replace_file(path, whole.signed(key, signature))
    return key


def _signer(keys: KeySet, signature: bytes, manifest: bytes) -> str:
    digest = hashlib.sha256(manifest).digest()
    for key, modulus in keys.moduli.items():
        if fits(signature, digest, modulus):
            return str(key)
    raise Refused("the signature is not of this manifest by a key of the set")


__all__ = ["ENDING", "TARGETS", "Refused", "attach", "make", "verify"]
