"""What holds for all drivers.

No float touches a reading: those of the ESP32 have 24 bits. Each fault code is
listed in the README.
"""

import ast
import re
from importlib.resources import files
from pathlib import Path

import pytest
from egiz_edge.drivers import thermocouple

FIRMWARE = files("egiz_edge")
READINGS = [
    "sensors.py",
    "payloads.py",
    "channels.py",
    *(f"drivers/{one.name}" for one in (FIRMWARE / "drivers").iterdir()),
]
_WAITS = {"sleep", "wait_for"}  # seconds


def _floats(tree):
    """Where a float is made, except for the seconds of a wait."""
    waits = {
        id(within)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _WAITS
        for within in ast.walk(node)
    }
    for node in ast.walk(tree):
        is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
        is_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        is_call = isinstance(node, ast.Name) and node.id in {"float", "round"}
        if (is_float or is_division or is_call) and id(node) not in waits:
            yield node.lineno


def _is_of_seconds(statement):
    """A constant in seconds, as _QUIET_S."""
    return isinstance(statement, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id.endswith("_S")
        for target in statement.targets
    )


@pytest.mark.parametrize("name", [name for name in READINGS if name.endswith(".py")])
def test_no_float_touches_a_reading(name):
    tree = ast.parse((FIRMWARE / name).read_text())
    tree.body = [one for one in tree.body if not _is_of_seconds(one)]
    assert list(_floats(tree)) == []


def test_each_fault_code_is_in_the_readme():
    codes = set()
    for one in (FIRMWARE / "drivers").iterdir():
        if one.name.endswith(".py"):
            codes |= set(re.findall(r'SensorError\(\s*"(\w+)', one.read_text()))
    codes |= {fault for _, fault in thermocouple._FAULTS}  # noqa: SLF001  # as it has them
    codes -= {"exception_", "not_reset", "not_set"}  # a stem, and those of commands
    assert {"crc", "power_on", "open", "bouncing"} <= codes
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    listed = set(re.findall(r"`(?:inputs:)?(\w+)`", readme))
    assert codes - listed == set()


def test_the_check_sees_a_float():
    for code in ("x = 1 / 2", "x = 0.1 * y", "x = float(y)", "x = round(y)"):
        assert list(_floats(ast.parse(code))) == [1]
