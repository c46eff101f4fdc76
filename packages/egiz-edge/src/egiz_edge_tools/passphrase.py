"""The passphrase of private keys: from a file, or asked for at the terminal."""

import sys
from pathlib import Path

import click
from egiz_cli import Unusable

_MAX = 1023  # bytes; more cannot encrypt a key


def read_passphrase(path: Path | None, key: Path | None = None) -> bytes:
    """The passphrase.

    Args:
        path: of a file whose first line it is, as openssl has it; None asks.
        key: the file of the key that has it, which must be there. None is a new one: it
            is asked for twice, since a typing error would cost the keys.

    Raises:
        Unusable: if there is none to be had.
        OSError: if there is no such key.
    """
    if key is not None:
        key.stat()  # before a person types
    if path is not None:
        return _first_line(path)
    if not sys.stdin.isatty():
        raise Unusable(
            "--passphrase-file: give one; there is no terminal to ask for it"
        )
    question = "Passphrase" if key is None else f"Passphrase of {key}"
    asked = click.prompt(question, hide_input=True, confirmation_prompt=key is None)
    return _checked(str(asked), "the passphrase")


def _first_line(path: Path) -> bytes:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # an editor may write a BOM
    except UnicodeDecodeError:
        raise Unusable(f"{path}: not UTF-8 text; save it as such") from None
    return _checked(text.partition("\n")[0].rstrip("\r"), str(path))


def _checked(text: str, where: str) -> bytes:
    passphrase = text.encode()
    if not passphrase:
        raise Unusable(f"{where}: is empty; its first line is the passphrase")
    if len(passphrase) > _MAX:
        raise Unusable(f"{where}: too long; a passphrase has {_MAX} bytes at most")
    return passphrase
