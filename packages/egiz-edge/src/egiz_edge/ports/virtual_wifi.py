"""The network of the virtual board."""

import asyncio
import json

_SCAN_S = 0.05  # until a network is found to be away
_WEAK_DBM, _WEAK_TRIES = -85, 3  # below that, each third try succeeds


class Wifi:
    """The host's network, while the file `wifi` allows it."""

    def __init__(self, directory):
        self._directory = directory
        self._wanted = None
        self._tries = 0
        self._is_joined = False

    def configure(self, ssid, password):
        """What `connect` joins from now on."""
        self._wanted = (ssid, password)
        self._is_joined = False

    async def connect(self):
        """Join the network; raises OSError where that fails."""
        if self.is_up():
            return
        self._is_joined = False
        self._tries += 1
        await asyncio.sleep(_SCAN_S)
        if read(self._directory + "/wifi") == "0":
            raise OSError("Wi-Fi: no network")
        networks = json.loads(read(self._directory + "/networks") or "null")
        if self._wanted and networks is not None:
            if self._wanted[0] not in networks:
                raise OSError("Wi-Fi: no network")
            await self._join(networks[self._wanted[0]])
        self._is_joined = True

    async def _join(self, network):
        """One of the host's `Network`; raises OSError where that fails."""
        await asyncio.sleep(network["joins_s"])
        if network["fails"] is not None:
            raise OSError("Wi-Fi: " + network["fails"])
        if network["rssi"] < _WEAK_DBM and self._tries % _WEAK_TRIES:
            raise OSError("Wi-Fi: no answer in time")
        if network["key"] is None and self._wanted[1]:
            raise OSError("Wi-Fi: no WPA2 there, but a password")
        if network["key"] != self._wanted[1]:
            raise OSError("Wi-Fi: wrong password")

    def is_up(self):
        """Whether the board is in a network and has an address."""
        if read(self._directory + "/wifi") == "0":
            self._is_joined = False
        return self._is_joined

    def rssi(self):
        """dBm, or None."""
        text = read(self._directory + "/rssi")
        return int(text) if text and self.is_up() else None

    def ip(self):
        """The board's address, or None."""
        return "127.0.0.1" if self.is_up() else None

    def name_servers(self):
        """Those that the network gave, as pairs of an address and a port."""
        listed = (read(self._directory + "/name_servers") or "").split()
        return [(one.split(":")[0], int(one.split(":")[1])) for one in listed]


def read(path):
    """The text of a file; None where there is none."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def _open_connection(host, port, ssl=None, server_hostname=None):
    """As that of asyncio, which leaves its socket open where it is cancelled.

    So does TLS where its handshake fails: it forgets the socket below it, and closing
    it closes nothing. On a board, the next garbage collection does that; here, none
    does: some hours of a broker that refuses or does not answer would use up the files
    of the process.
    """
    import errno  # noqa: PLC0415  # a name in a module costs the heap
    import socket  # noqa: PLC0415  # as above

    below = sock = socket.socket()

    async def wait_closed():
        sock.close()
        below.close()  # once more does nothing

    try:
        sock.setblocking(False)
        try:
            sock.connect(socket.getaddrinfo(host, port)[0][-1])
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        if ssl:
            sock = ssl.wrap_socket(
                sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        stream = asyncio.StreamReader(sock)
        if ssl:
            stream.wait_closed = wait_closed
        yield asyncio.core._io_queue.queue_write(sock)  # noqa: SLF001  # as asyncio does
    except BaseException:  # also where the task is cancelled
        sock.close()
        below.close()
        raise
    return stream, stream


if hasattr(asyncio, "core"):  # else it is CPython, in tests
    asyncio.open_connection = _open_connection
