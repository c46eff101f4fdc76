"""The address of a broker as a person writes it, for every program of this project.

>>> from egiz_schema import parse_broker_url
>>> parse_broker_url("mqtts://oven%40site:Secret@[::1]")
BrokerUrl(scheme='mqtts', host='::1', port=8883, username='oven@site')
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import unquote

from egiz_schema.orders import split_host_port

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}

_CHARACTERS_MAX = 2048
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker listens, and as whom to log in.

    ``str()`` gives the address alone; neither it nor ``repr()`` shows the password.

    Attributes:
        scheme: ``mqtt``, or ``mqtts`` with TLS.
        host: a name or an IP address, IPv6 without its brackets.
        port: 1 to 65535.
        username: nothing if the URL has none.
        password: nothing if the URL has none.
    """

    scheme: Literal["mqtt", "mqtts"]
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_broker_url(text: str) -> BrokerUrl:
    """Read ``mqtt://[user[:password]@]host[:port]``, or ``mqtts://`` for TLS.

    User and password are percent-decoded. The port is 1883, or 8883 with TLS, if it is
    left out. An IPv6 address is in brackets, without a zone.

    Raises:
        ValueError: with a sentence that says what is wrong and what to write. It quotes
            nothing of the text, since any part may be a password.
    """
    if len(text) > _CHARACTERS_MAX:
        raise ValueError(f"too long; at most {_CHARACTERS_MAX} characters")
    if not text.isprintable() or " " in text:
        raise ValueError(
            "has a space or control character; remove it, or write it in a user or "
            "password as %XX"
        )
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise ValueError("must be mqtt://host:port, or mqtts://host:port with TLS")
    rest = rest.removesuffix("/")
    if any(delimiter in rest for delimiter in "/?#"):
        raise ValueError(
            "must end after the port; in a user or password write / as %2F, ? as %3F "
            "and # as %23"
        )
    userinfo, has_user, address = rest.rpartition("@")
    username, password = _credentials(userinfo) if has_user else (None, None)
    host, port = split_host_port(address)
    if ":" in host:
        _check_ipv6(host)
    else:
        check_host_name(host)
    return BrokerUrl(
        cast("Literal['mqtt', 'mqtts']", scheme),
        host,
        DEFAULT_PORTS[scheme] if port is None else port,
        username,
        password,
    )


def _credentials(userinfo: str) -> tuple[str, str | None]:
    username, has_password, password = userinfo.partition(":")
    if not username:
        raise ValueError("names no user before the @; write mqtt://user@host:port")
    return _decoded(username), _decoded(password) if has_password else None


def _decoded(text: str) -> str:
    if _STRAY_PERCENT.search(text):
        raise ValueError("has a % that is no %XX in user or password; write % as %25")
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("user and password must be UTF-8; write é as %C3%A9") from None
    if "\0" in decoded:
        raise ValueError("has %00 in user or password, which MQTT forbids; remove it")
    return decoded


def check_host_name(host: str) -> None:
    """Raise ValueError for what cannot be looked up."""
    try:
        host.encode("idna")  # as each look-up does it, with a UnicodeError
    except UnicodeError:
        raise ValueError(
            "its host is no name: parts between dots have 1 to 63 characters"
        ) from None


def _check_ipv6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(
            "has no IPv6 address between the brackets; write it as in [::1]:1883"
        ) from None
