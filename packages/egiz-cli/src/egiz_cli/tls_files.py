"""Certificates and keys that a person names: --ca, --cert and --key, in PEM or DER."""

import base64
import binascii
import errno
import io
import os
import re
import ssl
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from egiz_cli.errors import Unusable

_BYTES_MAX = 1_000_000
_DER = b"\x30"  # a sequence of ASN.1, as certificates and keys are
_SEC1_VERSION = b"\x02\x01\x01"  # an integer, 1; PKCS #8 has 0
_BLOCK = re.compile(
    rb"-----BEGIN (?P<what>[A-Z0-9 ]+)-----\s+(?P<body>[A-Za-z0-9+/=\s]+?)"
    rb"-----END (?P=what)-----"
)
_WANTED = {"ca": b"CERTIFICATE", "cert": b"CERTIFICATE", "key": b"PRIVATE KEY"}


def as_der(files: Mapping[str, Path | None], directory: Path) -> dict[str, str] | None:
    """Write what is named into `directory`; gives the setting `tls`, None without any.

    Args:
        files: `ca`, `cert` and `key`, each a file or None.
        directory: the flash of a device.

    Raises:
        Unusable: it names option, file and fix.
    """
    contents = _contents(files)
    for name, content in contents.items():
        file = directory / f"{name}.der"
        file.touch(mode=0o600)
        file.write_bytes(content)
    return {name: f"{name}.der" for name in contents} or None


def context(files: Mapping[str, Path | None]) -> ssl.SSLContext | None:
    """The same for a client on this machine.

    Raises:
        Unusable: as above, and where the key is not that of the certificate.
    """
    contents = _contents(files)
    if not contents:
        return None
    with tempfile.TemporaryDirectory(prefix="egiz-") as directory:
        paths = {name: Path(directory) / name for name in contents}
        for name, content in contents.items():
            paths[name].write_text(_pem(name, content))
        try:
            made = ssl.create_default_context(cafile=paths["ca"])
            if "cert" in paths:
                made.load_cert_chain(paths["cert"], paths["key"])
        except ssl.SSLError as error:
            names = " ".join(f"{name}={files[name]}" for name in contents)
            raise Unusable(f"{names}: {error.reason or error}") from None
    return made


def _contents(files: Mapping[str, Path | None]) -> dict[str, bytes]:
    given = {name: path for name, path in files.items() if path is not None}
    if given and "ca" not in given:
        raise Unusable("--ca: name the certificate of the broker's authority, too")
    if ("cert" in given) != ("key" in given):
        raise Unusable("--cert and --key: give both, or none of them")
    return {name: _der(name, path) for name, path in given.items()}


def _read(path: Path) -> bytes:
    """All of a file that has an end; a pipe is waited for while somebody has it open.

    Raises:
        OSError: why it cannot be used.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # is open
        first = file.read(1)  # None: there is a writer, who has written nothing yet
        if first == b"" and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a pipe without a writer")
        os.set_blocking(descriptor, True)
        with io.BufferedReader(file) as rest:
            content = (first or b"") + rest.read(_BYTES_MAX)
    if len(content) > _BYTES_MAX:
        raise OSError(errno.EFBIG, "too large; at most 1 MB")
    return content


def _pem(name: str, content: bytes) -> str:
    if name != "key":
        return ssl.DER_cert_to_PEM_cert(content)
    is_sec1 = content[:8].find(_SEC1_VERSION) > 0
    what = "EC PRIVATE KEY" if is_sec1 else "PRIVATE KEY"
    body = base64.encodebytes(content).decode()
    return f"-----BEGIN {what}-----\n{body}-----END {what}-----\n"


def _der(name: str, path: Path) -> bytes:
    try:
        content = _read(path)
    except OSError as error:
        raise Unusable(f"--{name}: {path}: {error.strerror}") from None
    if content[:1] == _DER:
        return content
    for block in _BLOCK.finditer(content):
        if block["what"].endswith(_WANTED[name]) and b"ENCRYPTED" not in block["what"]:
            try:
                return base64.b64decode(b"".join(block["body"].split()), validate=True)
            except binascii.Error:
                break
    what = "key without a password" if name == "key" else "certificate"
    raise Unusable(f"--{name}: {path}: holds no {what}, in PEM or DER")
