"""Every command of the five programs as Markdown: `python .ci/reference.py DIRECTORY`.

One page for each program, PROGRAM.md, with the help of each command as a terminal of 80
columns shows it. The documentation's build calls `pages`, or runs this file.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
from click.testing import CliRunner
from egiz_bridge.cli.main import main as bridge
from egiz_edge_tools.cli import main as edge
from egiz_infra.cli import main as infra
from egiz_schema import cli as schema
from egiz_sim.cli import main as sim

_CLICK = {
    "egiz-bridge": bridge,
    "egiz-edge": edge,
    "egiz-infra": infra,
    "egiz-sim": sim,
}


def pages() -> dict[str, str]:
    """The page of each program, by its name."""
    with mock.patch.dict(os.environ, {"COLUMNS": "80"}):
        found = {name: _page(_helps(group, [name])) for name, group in _CLICK.items()}
        return found | {"egiz-schema": _page(_schema_helps())}


def _page(helps: Iterator[tuple[str, str]]) -> str:
    sections = []
    for number, (command, text) in enumerate(helps):
        heading = f"{'##' if number else '#'} {command}"
        sections.append(f"{heading}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(sections)


def _helps(command: click.Command, path: list[str]) -> Iterator[tuple[str, str]]:
    program = _CLICK[path[0]]
    yield " ".join(path), CliRunner().invoke(program, [*path[1:], "--help"]).output
    if isinstance(command, click.Group):
        for name, found in sorted(command.commands.items()):
            yield from _helps(found, [*path, name])


def _schema_helps() -> Iterator[tuple[str, str]]:
    for name in ("", *schema.commands()):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            schema.main([*name.split(), "--help"])
        yield f"egiz-schema {name}".strip(), output.getvalue()


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for title, page in pages().items():
        (directory / f"{title}.md").write_text(page)
