"""The name server of a virtual board's network: it answers as this machine does.

So a virtual board knows the names that this machine knows: `localhost`, those of
`/etc/hosts` and of containers. Each look-up has a thread: the system's may take long.
"""

import socket
import threading

from egiz_edge.dns import A_IN

_QUERY_MAX = 512  # bytes
_HEAD_BYTES = 12
_REPLY = 0x8180  # recursion desired and available
_NAME_ERROR = 3
_TO_QUESTION = 0xC00C  # a pointer to the name of the question
_LIFETIME_S = 60


class NameServer:
    """A server on a free UDP port of the loopback interface, until it is closed.

    Attributes:
        address: host:port.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(_QUERY_MAX)
            if not query:
                return
            threading.Thread(
                target=self._answer, args=(query, client), daemon=True
            ).start()

    def _answer(self, query: bytes, client: tuple[str, int]) -> None:
        try:
            self._socket.sendto(reply(query, _look_up(name_of(query))), client)
        except OSError:
            return  # closed meanwhile


def reply(query: bytes, addresses: list[str] | None) -> bytes:
    """The reply to a query for IPv4 addresses; None: there is no such name."""
    code = _NAME_ERROR if addresses is None else 0
    records = [_record(socket.inet_aton(address)) for address in addresses or []]
    head = (_REPLY | code, 1, len(records), 0, 0)
    words = b"".join(map(_word, head))
    return query[:2] + words + query[_HEAD_BYTES:] + b"".join(records)


def name_of(query: bytes) -> str:
    """The name that a query asks for."""
    labels, at = [], _HEAD_BYTES
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]])
        at += 1 + query[at]
    return b".".join(labels).decode(errors="replace")


def _look_up(name: str) -> list[str] | None:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError):
        return None
    return [str(where[-1][0]) for where in found]


def _record(address: bytes) -> bytes:
    lifetime = _word(0) + _word(_LIFETIME_S)
    return _word(_TO_QUESTION) + A_IN + lifetime + _word(len(address)) + address


def _word(value: int) -> bytes:
    return value.to_bytes(2, "big")
