"""The diagram of the architecture names the files of the firmware."""

import re
from importlib.resources import files
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs/develop/architecture-edge.md"


def test_the_diagram_names_each_file_once_and_all_of_them_exist():
    _, diagram, _ = DOCUMENT.read_text().split("```")
    named = re.findall(r"[\w/]+\.py", diagram)
    assert len(named) == len(set(named)) > 10
    firmware = files("egiz_edge")
    assert [name for name in named if not (firmware / name).is_file()] == []
    assert diagram.isascii()
