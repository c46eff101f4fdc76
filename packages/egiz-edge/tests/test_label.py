"""`egiz-edge label`: made once on the board, and printed with a QR code."""

import re
import stat
from xml.etree import ElementTree as ET

import segno
from egiz_edge_tools.label import Label, picture

# esp32.NVS, in a file: MicroPython's unix port has none.
ESP32 = b"""
class NVS:
    def __init__(self, name):
        self._path = "/nvs_" + name + "_"
    def get_blob(self, key, buffer):
        with open(self._path + key, "rb") as file:
            return file.readinto(buffer)
    def set_blob(self, key, value):
        with open(self._path + key, "wb") as file:
            file.write(value)
    def commit(self):
        pass
"""
SVG = "{http://www.w3.org/2000/svg}"


def test_a_label_is_made_once_and_printed_in_words_and_as_a_picture(
    serial_board, launch, tmp_path
):
    board = serial_board(files={"esp32.py": ESP32}, runs_main=False)
    outputs = []
    for _ in range(2):
        running = launch("egiz-edge", "label", "--port", board.port, "--out", "l.svg")
        assert running.wait(90) == 0, running.output()
        outputs.append(running.output())
    assert outputs[0] == outputs[1]
    made = re.match(
        r"Wi-Fi  (egiz-ab12)\nKey  ([a-km-np-z2-9]{12})\nPIN  (\d{6})\n", outputs[0]
    )
    assert made, outputs[0]
    kept = board.files()["nvs_egiz_label"].decode()
    assert kept == " ".join(made.groups())
    assert (tmp_path / "l.svg").read_text() == picture(Label(*made.groups()))
    assert stat.S_IMODE((tmp_path / "l.svg").stat().st_mode) == 0o600


def test_a_board_that_is_no_esp32_is_named_and_no_picture_written(
    serial_board, launch, tmp_path
):
    board = serial_board(runs_main=False)
    running = launch("egiz-edge", "label", "--port", board.port, "--out", "l.svg")
    assert running.wait(90) == 1
    assert "no module named 'esp32'" in running.output()
    assert "Traceback" not in running.output()
    assert not (tmp_path / "l.svg").exists()


def test_the_picture_has_the_code_of_the_network_and_the_words():
    label = Label("egiz-ab12", "abcdefghjkmn", "012345")
    drawing = ET.fromstring(picture(label))
    assert [text.text for text in drawing.iter(f"{SVG}text")] == [
        "Wi-Fi  egiz-ab12",
        "Key  abcdefghjkmn",
        "PIN  012345",
        "Page  http://192.168.4.1",
    ]
    expected = segno.make("WIFI:T:WPA;S:egiz-ab12;P:abcdefghjkmn;;", error="m")
    code = ET.fromstring(expected.svg_inline(scale=6))
    paths = [path.get("d") for path in drawing.iter(f"{SVG}path")]
    assert paths == [path.get("d") for path in code.iter() if path.get("d")]
