"""A TCP proxy that a test can make hang, break or refuse."""

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable  # noqa: TC003  # for types, as in all of the rig

from rig.process import free_port

_CHUNK = 65536
_NO_LINGER = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards to (host, port) in a thread of its own."""

    host = "127.0.0.1"

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        self._lock = threading.Lock()
        self._is_open = threading.Event()
        self._is_open.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        # Changes what the server sends; may wait.
        self.replies: Callable[[bytes], bytes] | None = None
        self.accept()

    @property
    def url(self) -> str:
        """Where it listens, for an MQTT client."""
        return f"mqtt://{self.host}:{self.port}"

    def pause(self) -> None:
        """Forward nothing; connections stay open, as on a network that hangs."""
        self._is_open.clear()

    def resume(self) -> None:
        """Forward again."""
        self._is_open.set()

    def cut(self) -> None:
        """Break all connections; new ones are accepted."""
        for pair in self._pop_pairs():
            for end in pair:
                end.close()

    def finish(self) -> None:
        """End all connections in good order, with FIN; new ones are accepted."""
        for pair in self._pop_pairs():
            for end in pair:
                with contextlib.suppress(OSError):  # it has ended before
                    end.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End all connections with RST; new ones are accepted."""
        for pair in self._pop_pairs():
            for end in pair:
                with contextlib.suppress(OSError):  # it has ended before
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                end.close()

    def half_open(self) -> None:
        """Close the connections to the server; those of the clients stay open."""
        self.pause()
        with self._lock:
            for _, server in self._pairs:
                with contextlib.suppress(OSError):  # it has ended before
                    server.shutdown(socket.SHUT_RDWR)

    def _pop_pairs(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return pairs

    def refuse(self) -> None:
        """Break all connections and refuse new ones."""
        if self._listener is not None:
            # Wakes the thread that waits in accept(), which close() alone does not.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def accept(self) -> None:
        """Accept new connections."""
        listener = socket.create_server((self.host, self.port))
        self._listener = listener
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """End."""
        self.resume()
        self.refuse()

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0 or self._listener is not listener:
                    return
                continue
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(
                target=self._forward, args=(client, server), daemon=True
            ).start()
            if self._listener is not listener:  # refused meanwhile
                self.cut()

    def _connect(self) -> socket.socket:
        return socket.create_connection(self._target, timeout=5)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, server)
                selector.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in selector.select(0.05):
                        self._is_open.wait()
                        source, target = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        if not (data := source.recv(_CHUNK)):
                            return
                        if source is server and self.replies is not None:
                            data = self.replies(data)
                        target.sendall(data)
        except (OSError, ValueError):  # cut
            pass
        finally:
            client.close()
            server.close()
