"""The label of a board: what a phone needs to give it its settings."""

import re
from dataclasses import dataclass
from pathlib import Path

from egiz_edge_tools.errors import PortError, ToolError
from egiz_edge_tools.remote import Remote, explain

ADDRESS = "http://192.168.4.1"

_PROGRAM = Path(__file__).parent / "label_on_board.py"
_WIDTH, _LINE = 320, 22  # CSS pixels
_QR_SCALE, _QR_AT = 6, 30


@dataclass(frozen=True, slots=True)
class Label:
    """What is printed.

    Attributes:
        ssid: the name of the board's own network.
        key: of that network.
        pin: six digits, which the form asks for.
    """

    ssid: str
    key: str
    pin: str

    @property
    def wifi(self) -> str:
        """What a phone's camera reads in order to join the network."""
        return f"WIFI:T:WPA;S:{self.ssid};P:{self.key};;"

    @property
    def lines(self) -> list[str]:
        """In words, for a phone whose camera does not."""
        return [
            f"Wi-Fi  {self.ssid}",
            f"Key  {self.key}",
            f"PIN  {self.pin}",
            f"Page  {ADDRESS}",
        ]


def label_of(port: str) -> Label:
    """The label of a board, which is made if there is none; the board is restarted.

    Raises:
        PortError: if the board cannot be reached, or is no ESP32.
    """
    remote = Remote(port)
    output = remote.wake(("run", str(_PROGRAM)))
    found = re.search(r"^label (\S+) (\S+) (\d+)$", "\n".join(output), re.MULTILINE)
    if not found:
        raise PortError(port, *explain(port, output))
    remote.restart()
    return Label(*found.groups())


def picture(label: Label) -> str:
    """The label as SVG, with a QR code.

    Raises:
        ToolError: if the package that draws QR codes is missing.
    """
    try:
        import segno  # noqa: PLC0415  # an extra
    except ImportError:
        raise ToolError(
            "the package for QR codes is missing: pip install 'egiz-edge[label]'"
        ) from None
    code = segno.make(label.wifi, error="m", micro=False)
    size = code.symbol_size(scale=_QR_SCALE)[0]
    drawn = code.svg_inline(scale=_QR_SCALE, omitsize=False)
    top = _QR_AT + size
    texts = "".join(
        f'<text x="{_WIDTH // 2}" y="{top + _LINE * number}">{line}</text>'
        for number, line in enumerate(label.lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}"'
        f' height="{top + _LINE * len(label.lines)}" font-family="monospace"'
        ' font-size="16" text-anchor="middle">'
        '<rect width="100%" height="100%" fill="#fff"/>'
        f'<g transform="translate({(_WIDTH - size) // 2} 8)">{drawn}</g>{texts}</svg>\n'
    )
