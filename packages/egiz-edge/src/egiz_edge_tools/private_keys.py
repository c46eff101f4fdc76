"""The private half of the keys, which needs the extra `egiz-edge[release]`.

RSA with 3,072 bits; a signature is PKCS#1 v1.5 with SHA-256, which has no randomness.
Files are PKCS#8, encrypted with a passphrase, and for their owner only.
"""

from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from egiz_edge.ota.keys import KEYS_MAX, ROOT
from egiz_edge.ota.signed import MODULUS_BYTES, is_id

from egiz_edge_tools.errors import ReleaseError
from egiz_edge_tools.keys import (
    ROOT_MODULUS,
    SET,
    create_file,
    read_root,
    read_set,
    replace_file,
    set_text,
    signed_set,
    spelt,
)

FIRST = ("r1", "r2")
_PRIVATE, _PRIVATE_DIRECTORY = 0o600, 0o700
_EXPONENT = 65537
_BITS = MODULUS_BYTES * 8


def generate(directory: Path, passphrase: bytes) -> None:
    """Make root key, two release keys and key set 1.

    Raises:
        ReleaseError: if there are keys already; none is changed.
    """
    check_is_free(directory)
    made = {key: _new_key() for key in (ROOT, *FIRST)}
    directory.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)
    for key, private in made.items():
        _store(directory / f"{key}.pem", private, passphrase)
    root = made[ROOT]
    create_file(directory / ROOT_MODULUS, f"{spelt(_modulus(root))}\n".encode())
    _publish(directory, root, 1, {key: _modulus(made[key]) for key in FIRST})


def check_is_free(directory: Path) -> None:
    """Raises ReleaseError if a directory has keys already."""
    names = [*(f"{key}.pem" for key in (ROOT, *FIRST)), SET, ROOT_MODULUS]
    for path in (directory / name for name in names):
        if path.exists():
            raise ReleaseError(
                f"{path}: is there already, and keys are never overwritten; give"
                " another directory"
            )


def add(
    directory: Path,
    key: str,
    root: Path,
    passphrase: bytes,
    public: Path | None = None,
) -> int:
    """Add a release key to the set; gives the set's new number.

    Args:
        directory: of the keys.
        key: its id. Its private half is made here, unless `public` is given.
        root: file of the root key.
        passphrase: of the root key, and of a key that is made.
        public: file of the public half of a key that is elsewhere, as in an HSM.

    Raises:
        ReleaseError: if the id is in use, or a file is no such key.
    """
    _check_id(key)
    keys = read_set(directory)
    if key in keys.moduli:
        raise ReleaseError(f"{key}: is in the set already; give another id")
    if len(keys.moduli) == KEYS_MAX:
        raise ReleaseError(f"{key}: a set has {KEYS_MAX} keys at most; revoke one")
    signer = _root_key(directory, root, passphrase)
    path = directory / f"{key}.pem"
    if public is None:
        if path.exists():
            raise ReleaseError(f"{path}: is never overwritten; give another id")
        private = _new_key()
        _store(path, private, passphrase)
        value = _modulus(private)
    else:
        value = _public_modulus(public)
    for other, known in [*keys.moduli.items(), (ROOT, read_root(directory))]:
        if known == value:
            raise ReleaseError(f"{key}: is the same key as {other}")
    return _publish(directory, signer, keys.number + 1, keys.moduli | {key: value})


def revoke(directory: Path, key: str, root: Path, passphrase: bytes) -> int:
    """Leave a release key out of the set; gives the set's new number.

    Raises:
        ReleaseError: if the set has no such key, or no other.
    """
    keys = read_set(directory)
    if key not in keys.moduli:
        known = ", ".join(sorted(keys.moduli))
        raise ReleaseError(f"{key}: the set has no such key, but {known}")
    others = {other: value for other, value in keys.moduli.items() if other != key}
    if not others:
        raise ReleaseError(f"{key}: is the only one; add another first")
    signer = _root_key(directory, root, passphrase)
    return _publish(directory, signer, keys.number + 1, others)


def load(path: Path, passphrase: bytes) -> rsa.RSAPrivateKey:
    """A private key of ours.

    Raises:
        ReleaseError: if it is none, or the passphrase is not its own.
        OSError: if it cannot be read.
    """
    content = path.read_bytes()
    try:
        found = serialization.load_pem_private_key(content, passphrase)
    except TypeError:  # a passphrase was given, and it has none
        raise ReleaseError(
            f"{path}: is not encrypted; `openssl pkey -aes256 -in {path.name} -out"
            " NEW` encrypts it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ReleaseError(
            f"{path}: not a private key in PEM, or not its passphrase"
        ) from None
    if not isinstance(found, rsa.RSAPrivateKey):
        raise ReleaseError(f"{path}: must be RSA with {_BITS} bits")
    _check_size(path, found.public_key())
    return found


def sign(private: rsa.RSAPrivateKey, content: bytes) -> bytes:
    """The signature that `openssl dgst -sha256 -sign` makes."""
    return private.sign(content, padding.PKCS1v15(), hashes.SHA256())


def modulus_of(private: rsa.RSAPrivateKey) -> int:
    """What the public half is known by."""
    return _modulus(private)


def _publish(
    directory: Path, root: rsa.RSAPrivateKey, number: int, moduli: Mapping[str, int]
) -> int:
    text = set_text(number, moduli)
    replace_file(directory / SET, signed_set(text, sign(root, text)))
    return number


def _root_key(directory: Path, path: Path, passphrase: bytes) -> rsa.RSAPrivateKey:
    root = load(path, passphrase)
    if _modulus(root) != read_root(directory):
        raise ReleaseError(f"{path}: is not the root key of {directory}")
    return root


def _check_id(key: str) -> None:
    if key == ROOT or not is_id(key):
        raise ReleaseError(
            f"{key!r}: the id of a key has 2 to 16 of a-z, 0-9, - and _, and is not"
            f" {ROOT}"
        )


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(_EXPONENT, _BITS)


def _store(path: Path, private: rsa.RSAPrivateKey, passphrase: bytes) -> None:
    content = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )
    create_file(path, content, _PRIVATE)


def _public_modulus(path: Path) -> int:
    content = path.read_bytes()
    try:
        found = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ReleaseError(f"{path}: not a public key in PEM") from None
    if not isinstance(found, rsa.RSAPublicKey):
        raise ReleaseError(f"{path}: must be RSA with {_BITS} bits")
    _check_size(path, found)
    return found.public_numbers().n


def _check_size(path: Path, public: rsa.RSAPublicKey) -> None:
    if public.key_size != _BITS or public.public_numbers().e != _EXPONENT:
        raise ReleaseError(
            f"{path}: must be RSA with {_BITS} bits and the exponent {_EXPONENT}"
        )


def _modulus(private: rsa.RSAPrivateKey) -> int:
    return private.public_key().public_numbers().n
