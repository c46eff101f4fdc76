"""A name server of a factory."""

import socket
import threading

from egiz_edge_tools import name_server


class FactoryNames:
    """A name server that knows the names of a factory, and can be silent.

    Args:
        names: the address of each name, without the domain.
    """

    def __init__(self, **names: str) -> None:
        self._names = names
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self.is_silent = False
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            name = name_server.name_of(query)
            self.asked.append(name)
            if not self.is_silent:
                known = self._names.get(name.split(".")[0])
                self._socket.sendto(
                    name_server.reply(query, [known] if known else None), client
                )

    def close(self) -> None:
        """End it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()
