"""The files of a TLS client, for broker and databases alike."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from egiz_bridge.config.small_file import check_small_file
from egiz_bridge.errors import ConfigError


class TlsFiles(NamedTuple):
    """Whom to trust, and what to show; `table` is that of the keys, for errors."""

    table: str
    ca_file: Path | None
    certificate_file: Path | None
    key_file: Path | None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, with the files of now; the name of the host is checked.

        Raises:
            ConfigError: one of the files cannot be used.
        """
        if self.ca_file:
            with self._translate_errors(
                "ca_file", self.ca_file, "a CERTIFICATE in PEM"
            ):
                check_small_file(self.ca_file)
                context = ssl.create_default_context(cafile=self.ca_file)
        else:
            context = ssl.create_default_context()
        if self.key_file:
            with self._translate_errors("key_file", self.key_file, ""):
                check_small_file(self.key_file)
        if self.certificate_file:
            wanted = (
                "a CERTIFICATE in PEM with its PRIVATE KEY, here or in"
                f" {self.table}.key_file"
            )
            with self._translate_errors(
                "certificate_file", self.certificate_file, wanted
            ):
                check_small_file(self.certificate_file)
                context.load_cert_chain(
                    self.certificate_file, self.key_file, _no_password
                )
        return context

    def stamp(self) -> tuple[int, ...]:
        """Another one when a file was replaced."""
        stamps = []
        for path in (self.ca_file, self.certificate_file, self.key_file):
            with suppress(OSError):  # `context` raises the reason
                if path:
                    status = path.stat()
                    stamps += [status.st_mtime_ns, status.st_ino, status.st_size]
        return tuple(stamps)

    @contextmanager
    def _translate_errors(self, key: str, path: Path, wanted: str) -> Iterator[None]:
        """Turn an error of the library into a ConfigError that names key and file."""
        name = f"{self.table}.{key}"
        try:
            yield
        except ssl.SSLError:  # of a kind of OSError
            raise ConfigError([f"{name}: {path} is not {wanted}"]) from None
        except OSError as error:
            raise ConfigError(
                [f"{name}: cannot read {path}: {error.strerror}"]
            ) from None


def _no_password() -> str:
    # Instead of asking on the terminal, which a daemon has not.
    return ""
