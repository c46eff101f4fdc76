"""Where a load's messages are looked for in the end: the archive, or a database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_FORMS = (
    "influxdb1://[user@]host[:port]/database, influxdb2://host[:port]/org/bucket or"
    " victoriametrics://host[:port], each with +https before :// for TLS"
)
# Of each: the port, and what its path names.
_KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "influxdb1": (8086, ("database",)),
    "influxdb2": (8086, ("org", "bucket")),
    "victoriametrics": (8428, ()),
}


@dataclass(frozen=True, slots=True)
class Store:
    """What reads it.

    Attributes:
        module: of the observer.
        order: what that needs to know of the store.
    """

    module: str
    order: dict[str, Any]


def archive(path: Path) -> Store:
    """The bridge's SQLite file."""
    return Store("archive", {"path": str(path.absolute())})


def database(url: str, secret: str | None) -> Store:
    """A database.

    Args:
        url: as `--database` has it.
        secret: the password of InfluxDB 1, the token of InfluxDB 2.

    Raises:
        ValueError: if the URL is not one of these; the message says what is.
    """
    try:
        parts = urlsplit(url)
        own_port = parts.port
    except ValueError:  # whose words repeat a part, which may be a password
        raise ValueError(f"it is not {_FORMS}") from None
    kind, _, scheme = parts.scheme.partition("+")
    port, names = _KINDS.get(kind, (0, ()))
    path = [unquote(part) for part in parts.path.split("/") if part]
    if not port or scheme not in {"", "https"} or len(path) != len(names):
        raise ValueError(f"it is not {_FORMS}")
    if not parts.hostname or parts.query or parts.fragment or parts.password:
        raise ValueError(f"it is not {_FORMS}; a secret is no part of it")
    # A name may be written with the root; in a certificate it never is.
    name = parts.hostname.removesuffix(".") if scheme else parts.hostname
    host = f"[{name}]" if ":" in name else name
    order = {
        "kind": kind,
        "url": f"{scheme or 'http'}://{host}:{own_port or port}",
        "username": parts.username,
        "secret": secret,
        **dict(zip(names, path, strict=True)),
    }
    return Store("database", order)
