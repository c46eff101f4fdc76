"""Sockets of the ESP32, as ports/esp32/modsocket.c of MicroPython 1.26.1 has them."""

import socket as real

AF_INET, SOCK_DGRAM = real.AF_INET, real.SOCK_DGRAM
SOL_SOCKET, SO_REUSEADDR = real.SOL_SOCKET, real.SO_REUSEADDR
getaddrinfo = real.getaddrinfo


class Socket:
    """A real one, which after a datagram without a byte gives no other for ever."""

    def __init__(self, *kind):
        self._socket = real.socket(*kind)
        self._is_over = False

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def recv(self, length):
        return self.recvfrom(length)[0]

    def recvfrom(self, length):
        if self._is_over:
            return b"", None
        found = self._socket.recvfrom(length)
        self._is_over = not found[0]
        return found


socket = Socket  # its name in the module that this one stands in for
