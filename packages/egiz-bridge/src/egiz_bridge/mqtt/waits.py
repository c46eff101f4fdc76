"""What the main loop waits for: bytes of the broker, and other threads."""

import selectors
import socket
import time
from contextlib import ExitStack, suppress
from typing import Self

from egiz_bridge.mqtt.connection import Connection


class Waker:
    """Ends a wait of the main loop, from any thread or signal handler."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def __call__(self) -> None:
        """Wake; a wake-up that is pending already is enough."""
        with suppress(BlockingIOError):
            self._sender.send(b"\0")

    def fileno(self) -> int:
        """For a selector."""
        return self._receiver.fileno()

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        with suppress(BlockingIOError):
            self._receiver.recv(4096)


class Waits:
    """The waits of one connection; use it as a context manager."""

    def __init__(self, connection: Connection, waker: Waker) -> None:
        self._connection = connection
        self._waker = waker
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._woken = self._selector(self._waker)
        self._both = self._selector(self._waker, self._connection)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _selector(self, *files: Waker | Connection) -> selectors.BaseSelector:
        selector = self._stack.enter_context(selectors.DefaultSelector())
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        return selector

    def for_bytes(self, seconds: float, *, paced: bool = False) -> bool:
        """Wait until there is something to read or to do; gives whether to read.

        Paced, it ends later than with the first byte, as the connection's pace says.
        """
        pause_s = self._connection.pause_s(time.monotonic()) if paced else 0.0
        if pause_s:
            pause_s = min(pause_s, seconds)
            if self.for_wake_up(pause_s):
                return False
            seconds -= pause_s
        ready = [key.fileobj for key, _ in self._both.select(seconds)]
        if self._waker in ready:
            self._waker.clear()
        return self._connection in ready

    def for_wake_up(self, seconds: float) -> bool:
        """Wait until another thread wakes; gives whether one did."""
        is_woken = bool(self._woken.select(seconds))
        if is_woken:
            self._waker.clear()
        return is_woken
