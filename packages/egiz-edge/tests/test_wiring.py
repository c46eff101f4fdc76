"""The documented wiring is the wiring that the firmware uses."""

import ast
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import egiz_edge.ports

DOCS = Path(__file__).parents[3] / "docs/device"
PORT = Path(egiz_edge.ports.__file__).with_name("esp32.py")


def _pins_of_the_port():
    """Name -> GPIO, as ports/esp32.py has them."""
    pins = {}
    for node in ast.walk(ast.parse(PORT.read_text())):
        if isinstance(node, ast.Assign):
            name = getattr(node.targets[0], "id", "")
            if name in {"_CONTACTS", "_SELECTS"}:
                pins |= ast.literal_eval(node.value)
            elif name == "_LED":
                pins["led"] = ast.literal_eval(node.value)
        elif isinstance(node, ast.Call):
            pins |= _pins_of_a_bus(node)
    return pins


def _pins_of_a_bus(call):
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name == "UART":
        given = {word.arg: word.value.value for word in call.keywords}
        return {f"uart {end}": given[end] for end in ("tx", "rx")}
    if name == "SPI":
        pins = {word.arg: word.value for word in call.keywords}
        return {
            f"spi {end}": pins[end].args[0].value for end in ("sck", "mosi", "miso")
        }
    if name == "OneWire" and isinstance(call.args[0], ast.Call):
        return {"onewire": call.args[0].args[0].value}
    return {}


def _pins_of_the_table():
    text = (DOCS / "wiring.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\w ]+) \|", text, re.MULTILINE)
    return {name: int(number) for number, name in rows}


def test_the_table_has_the_pins_of_the_port():
    assert _pins_of_the_port() == _pins_of_the_table()
    assert len(_pins_of_the_table()) == 14


def test_the_drawing_shows_every_pin_that_has_a_wire():
    drawing = ET.parse(DOCS / "wiring.svg")
    words = " ".join(drawing.getroot().itertext())
    shown = {int(number) for number in re.findall(r"GPIO(\d+)", words)}
    assert shown == set(_pins_of_the_table().values()) - {23}
    names = ("tc_0", "tc_1", "tc_2", "running", "fault", "input_3")
    assert all(name in words for name in names)


def test_pins_that_decide_how_the_chip_boots_or_are_its_flash_are_not_used():
    assert not set(_pins_of_the_table().values()) & {1, 3, 5, *range(6, 12), 12, 15}
