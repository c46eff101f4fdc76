"""A secret in a file that may be replaced while the bridge runs."""

from pathlib import Path

from egiz_bridge.config.settings import read_secret


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
