"""TCP ports of this machine."""

import itertools
import os
import socket

# Below those that a kernel gives to whoever asks for any (32768 and up on Linux, 49152
# on macOS): a client may get one of these before the server that it is for listens, or
# while that is restarted.
_FIRST, _PORTS = 20_000, 12_000
_PORTS_OF_A_PROCESS = 8  # before it takes those of the next

_taken = itertools.count()


def free_port() -> int:
    """A TCP port of the loopback interface that no program listens on or will be given.

    Two calls give two ports, and so do two processes that ask at the same time.

    Raises:
        OSError: there is none.
    """
    for _ in range(_PORTS):
        number = os.getpid() * _PORTS_OF_A_PROCESS + next(_taken)
        port = _FIRST + number % _PORTS
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise OSError(f"no port of 127.0.0.1 from {_FIRST} to {_FIRST + _PORTS} is free")
