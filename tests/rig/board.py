"""A virtual board that runs a few lines of a test's code."""

import json
import threading
from pathlib import Path
from typing import Any

from egiz_edge_tools.hardware import Hardware
from egiz_edge_tools.virtual_board import Identity, VirtualBoard

_IDENTITY = Identity("factory", "oven-001", "127.0.0.1", 1883)

_PREAMBLE = """
import asyncio, json, sys, time
from egiz_edge.ports.virtual import Board
board = Board(sys.argv[1])
def emit(*values):
    print(json.dumps(values))
"""


class CodeOnBoard:
    """Runs `code`, which has a `board`, and `emit(…)`, which adds to `printed`."""

    def __init__(self, directory: Path, hardware: Hardware, code: str) -> None:
        directory.mkdir(exist_ok=True)
        self.board = VirtualBoard(
            _IDENTITY, hardware, directory, program=_PREAMBLE + code
        )
        self.printed: list[Any] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.board.lines():
            self.printed.append(json.loads(line) if line.startswith("[") else line)

    def ended(self) -> list[Any]:
        """What it emitted until it ended by itself."""
        self._reader.join(30)
        assert not self._reader.is_alive(), self.printed
        return self.printed

    def close(self) -> None:
        """Cut its power."""
        self.board.cut_power()
        self._reader.join(30)
        self.board.close()
