"""Imports point downwards: a room knows those below it, and none beside or above."""

import ast
from pathlib import Path

import egiz_bridge

ROOT = Path(egiz_bridge.__file__).parent
# From the top. `config.settings` is all tables, so it knows the list of sinks.
FLOORS = [
    *(
        "__main__",
        "cli",
        "daemon workers",
        "observe",
        "session",
        "session_record orphans",
    ),
    *("pipeline", "config.settings", "sinks mqtt", "spool ledger config"),
    *("batch backoff confirmed_clock files incidents log", "database_file"),
    "errors",
    "printable __init__ __version__",
]
FLOOR = {room: at for at, rooms in enumerate(FLOORS) for room in rooms.split()}


def _room(module):
    return module if module in FLOOR else module.partition(".")[0]


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("egiz_bridge"):
            for name in node.names:
                path = f"{node.module}.{name.name}".removeprefix("egiz_bridge.")
                yield _room(".".join(path.split(".")[:2]))


def test_no_room_imports_one_beside_or_above_it():
    for file in ROOT.rglob("*.py"):
        room = _room(".".join(file.relative_to(ROOT).with_suffix("").parts))
        for other in _imports(ast.parse(file.read_text())):
            is_below = other == room or FLOOR[other] > FLOOR[room]
            assert is_below, f"{room} imports {other}, which is not below it"
