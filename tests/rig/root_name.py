"""A name with a final dot, that of the root of DNS, which /etc/hosts does not know."""

import socket
from typing import Any

import pytest


def know_localhost_with_root(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As a name server does; gives the names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        asked.append(host)
        return real("localhost" if host == "localhost." else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked
