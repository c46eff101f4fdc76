"""Draw what the demo shows in a terminal, for the README: `make picture`.

It runs the demo itself and keeps the last state of the live view and the result.
"""

import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from egiz_sim.demo.archive import Latest
from egiz_sim.demo.run import run_demo
from egiz_sim.demo.view import View, rendered
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

PICTURE = Path(__file__).parents[1] / "docs/assets/demo.svg"
SECONDS = 20.0
WIDTH = 110

# Rich refers to a font on another server; one of the reader's machine is used.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class LastView(View):
    """Shows nothing; keeps what was to be shown last."""

    summary: str = ""
    devices: Mapping[str, Latest] = {}

    def show(self, summary: str, devices: Mapping[str, Latest]) -> None:
        """Keep the totals, and the last telemetry by device id."""
        self.trends.add(devices)
        self.summary, self.devices = summary, dict(devices)


def draw() -> bool:
    """Run the demo and write the picture; gives whether the ledger balances."""
    printed = io.StringIO()
    console = Console(file=printed, width=WIDTH)
    view = LastView(console)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)  # where the demo leaves its archive
        is_balanced = run_demo("auto", SECONDS, console, view)
    picture = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    lines = printed.getvalue().splitlines()
    picture.print(*(f"$ make demo\n{lines[1]}\n{lines[2]}\n",), highlight=False)
    picture.print(rendered(view.summary, view.devices, view.trends))
    (result,) = (line for line in lines if "archived:" in line)
    picture.print(f"\n{result}", highlight=False, style="bold")
    PICTURE.parent.mkdir(exist_ok=True)
    picture.save_svg(str(PICTURE), title="egiz-sim demo", code_format=FORMAT)
    return is_balanced


if __name__ == "__main__":
    sys.exit(not draw())
