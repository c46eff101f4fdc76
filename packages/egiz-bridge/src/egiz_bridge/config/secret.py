"""A secret in a file that may be replaced while the bridge runs."""

from pathlib import Path
from unicodedata import category

from egiz_bridge.config.small_file import SECRET_BYTES_MAX, read_small_file
from egiz_bridge.errors import ConfigError

# No string of MQTT has more, and no server accepts such a header.
_BYTES_MAX = 65_535


class Secret:
    """Read again when its file has changed.

    Raises:
        ConfigError: it cannot be read.
    """

    def __init__(self, key: str, path: Path | None) -> None:
        self._key = key
        self._path = path
        self._stamp: tuple[int, ...] = ()
        self._text: str | None = None
        self.read()

    def read(self) -> str | None:
        """The secret of now; nothing if there is no file.

        Raises:
            ConfigError: naming the key and the file, never the secret.
        """
        stamp = self._stamp_of_now()
        if not stamp or stamp != self._stamp:
            self._text = read_secret(self._key, self._path)
            self._stamp = stamp
        return self._text

    def _stamp_of_now(self) -> tuple[int, ...]:
        try:
            status = self._path.stat() if self._path else None
        except OSError:
            return ()  # `read_secret` raises the reason
        return (status.st_mtime_ns, status.st_ino, status.st_size) if status else ()


def read_secret(key: str, path: Path | None) -> str | None:
    """The secret in a file, as it was meant: one line, in UTF-8.

    A byte order mark and blank lines, which editors add, are no part of it.

    Raises:
        ConfigError: naming the key and the file, never the secret.
    """
    if path is None:
        return None
    try:
        secret = (
            read_small_file(path, SECRET_BYTES_MAX).decode("utf-8-sig").strip("\r\n")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{key}: cannot read {path}: {read_error(error)}"]) from None
    if not secret:
        raise ConfigError([f"{key}: {path} is empty"])
    if len(secret.encode()) > _BYTES_MAX:
        raise ConfigError([f"{key}: {path} has more than {_BYTES_MAX:,} bytes"])
    if any(
        category(one) == "Cc" for one in secret
    ):  # a header or a packet cannot carry it
        raise ConfigError([f"{key}: {path} must be one line of text"])
    return secret


def read_error(error: Exception) -> str:
    """Why a file of text cannot be read, in a few words."""
    return getattr(error, "strerror", None) or "not UTF-8 text"
