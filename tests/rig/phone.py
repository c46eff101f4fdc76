"""A board without settings, and a phone in its network that speaks HTTP only."""

import http.client
import json
import socket
import threading
import urllib.parse
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from egiz_edge_tools.hardware import Hardware
from egiz_edge_tools.virtual_board import FIRMWARE, HEAP, VirtualBoard

from rig.process import free_port
from rig.waiting import eventually

ADDRESS = "192.168.4.1"
SSID, KEY, PIN = "egiz-ab12", "abcdefghjkmn", "123456"
LABEL = f"{SSID} {KEY} {PIN}"


class PortalBoard:
    """A board with a label, and without settings unless its flash has some.

    Args:
        flash: a directory, kept from board to board.
        hardware: its parts and its environment.
        heap: of the interpreter.
        program: that it runs.
        label: that its store has; None where it has lost that.
    """

    def __init__(
        self,
        flash: Path,
        hardware: Hardware,
        heap: str = HEAP,
        program: str = FIRMWARE,
        label: str | None = LABEL,
    ) -> None:
        flash.mkdir(exist_ok=True)
        if label is not None:
            (flash / "store_label").write_text(label)
        (flash / "label").touch()
        if hardware.portal_ports is None:
            hardware.portal_ports = (free_port(), free_port())
        self.flash = flash
        self.board = VirtualBoard(None, hardware, flash, heap, program)
        self.output: list[str] = []
        self._reader = threading.Thread(
            daemon=True, target=lambda: self.output.extend(self.board.lines())
        )
        self._reader.start()

    @property
    def settings(self) -> dict[str, object] | None:
        """What is stored."""
        path = self.flash / "settings.json"
        if not path.exists():
            return None
        found: dict[str, object] = json.loads(path.read_text())
        return found

    def phone(self, language: str = "en") -> "Phone":
        """A phone that has joined, once the access point and the page are there."""
        eventually(lambda: self.board.access_point == SSID)
        phone = Phone(*self.board.join_ap(KEY), language)
        eventually(lambda: phone.get("/state"))
        return phone

    def close(self) -> None:
        """Cut its power."""
        self.board.cut_power()
        self._reader.join(30)
        self.board.close()


@dataclass(frozen=True)
class Answer:
    """What the portal answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the form, as a browser would send them."""
        return self._parsed().fields

    @property
    def networks(self) -> list[str]:
        """The names in the list of networks."""
        return self._parsed().options

    @property
    def said(self) -> list[str]:
        """What is said about the fields and the last trial."""
        return self._parsed().said

    def _parsed(self) -> "_Form":
        form = _Form()
        form.feed(self.body)
        return form


class Phone:
    """Requests of a phone in the network of a board."""

    def __init__(self, port: int, dns_port: int, language: str) -> None:
        self.port = port
        self.dns_port = dns_port
        self._language = language

    def get(
        self, path: str = "/", host: str = ADDRESS, language: str | None = None
    ) -> Answer:
        """GET."""
        asked = {} if language is None else {"Accept-Language": language}
        return self._ask("GET", path, host, None, asked)

    def post(
        self, fields: dict[str, str], host: str = ADDRESS, **headers: str
    ) -> Answer:
        """Send a form."""
        return self._ask("POST", "/save", host, urllib.parse.urlencode(fields), headers)

    def fill(self, **fields: str) -> Answer:
        """Read the form, change these fields, and send it with the right PIN."""
        return self.post(self.get().fields | {"pin": PIN} | fields)

    def state(self) -> str:
        """`form`, `trying` or `done`."""
        found: str = json.loads(self.get("/state").body)["state"]
        return found

    def send_datagram(self, datagram: bytes) -> None:
        """Send one to the name server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(datagram, ("127.0.0.1", self.dns_port))

    def query(self, datagram: bytes) -> bytes | None:
        """Send a datagram to the name server; None without a reply in a second."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.connect(("127.0.0.1", self.dns_port))
            client.send(datagram)
            try:
                return client.recv(512)
            except TimeoutError:
                return None

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and read until the portal closes; b"" also if it breaks off."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            found = b""
            try:
                client.sendall(data)
                while more := client.recv(4096):
                    found += more
            except ConnectionError:
                pass
            return found

    def _ask(
        self,
        method: str,
        path: str,
        host: str,
        body: str | None,
        headers: dict[str, str],
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        asked = {"Host": host, "Accept-Language": self._language, **headers}
        try:
            connection.request(method, path, body, asked)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode())
        except http.client.HTTPException as error:
            raise OSError(f"broke off: {error!r}") from error
        finally:
            connection.close()


class _Form(HTMLParser):
    """The fields of the page's form, its options, and what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.options: list[str] = []
        self.said: list[str] = []
        self._select = ""
        self._is_said = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given["name"]
            self.fields[self._select] = ""
        elif tag == "option" and given["value"]:
            self.options.append(given["value"])
            if "selected" in given:
                self.fields[self._select] = given["value"]
        self._is_said = given.get("class") == "e"

    def handle_data(self, data: str) -> None:
        if self._is_said and data.strip():
            self.said.append(data.strip())

    def handle_endtag(self, _tag: str) -> None:
        self._is_said = False
