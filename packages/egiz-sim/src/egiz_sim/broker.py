"""Where devices connect, with which account and files."""

import functools
import ssl
from dataclasses import dataclass
from pathlib import Path

from egiz_cli import tls_files
from egiz_schema import parse_broker_url


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM or DER files, in which ``{device}`` stands for the device id."""

    ca: str | None
    cert: str | None = None
    key: str | None = None

    def context(self, device_id: str) -> ssl.SSLContext | None:
        """What this device connects with.

        Raises:
            egiz_cli.Unusable: it names option, file and fix.
        """
        return _context(
            *(
                path and path.replace("{device}", device_id)
                for path in (self.ca, self.cert, self.key)
            )
        )


@functools.cache  # thousands of devices may share one
def _context(
    ca: str | None, cert: str | None, key: str | None
) -> ssl.SSLContext | None:
    named = {"ca": ca, "cert": cert, "key": key}
    return tls_files.context(
        {name: Path(path) if path else None for name, path in named.items()}
    )


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to connect, and with which account."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: "TlsFiles | None" = None

    @classmethod
    def from_url(
        cls, url: str, password: str | None = None, tls: "TlsFiles | None" = None
    ) -> "Broker":
        """Read ``mqtt://[user[:password]@]host[:port]``.

        Args:
            url: as above; the port is 1883, or 8883 with TLS, if it is left out.
            password: wins over the one in the URL.
            tls: connect with TLS.

        Raises:
            ValueError: if it is not; the message never contains the password.
        """
        parsed = parse_broker_url(url)
        if parsed.scheme == "mqtts" and tls is None:
            raise ValueError("mqtts needs --ca, the certificate of its authority")
        secret = password or parsed.password
        return cls(parsed.host, parsed.port, parsed.username, secret, tls)

    @property
    def certified_name(self) -> str:
        """What its certificate has to say: never with the root that a name may have."""
        return self.host.removesuffix(".")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
