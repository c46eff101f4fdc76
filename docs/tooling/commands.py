"""A page for each program: the help of each command, as the program prints it."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

_PROGRAMS = ("egiz-schema", "egiz-edge", "egiz-bridge", "egiz-sim", "egiz-infra")
_COMMANDS = re.compile(r"^Commands:\n(?: {2}COMMAND\n)?((?: .*\n|\n)*)", re.MULTILINE)
_NAME = re.compile(r"^(?: {2}| {4})([a-z][a-z0-9-]*)(?: |$)", re.MULTILINE)
_Main = Callable[[], object]


def pages(repository: Path) -> dict[str, str]:
    """Uri -> text of the page of each program."""
    del repository  # the programs are installed
    os.environ["COLUMNS"] = "80"
    found = {entry.name: entry for entry in entry_points(group="console_scripts")}
    return {
        f"reference/commands/{name}.md": _page(name, found[name].load())
        for name in _PROGRAMS
    }


def _page(program: str, main: _Main) -> str:
    sections = [f"# {program}\n\nWritten by the program itself: `{program} --help`.\n"]
    for words, text in _helps(program, main, []):
        title = " ".join([program, *words])
        sections.append(f"## {title}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(sections)


def _helps(
    program: str, main: _Main, words: list[str]
) -> Iterator[tuple[list[str], str]]:
    """Each command as (words, its help), and those below it."""
    text = _help(program, main, words)
    yield words, text
    for listed in _COMMANDS.findall(text + "\n"):
        for name in _NAME.findall(listed):
            yield from _helps(program, main, [*words, name])


def _help(program: str, main: _Main, words: list[str]) -> str:
    printed = io.StringIO()
    before, sys.argv = sys.argv, [program, *words, "--help"]
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main()
    finally:
        sys.argv = before
    return printed.getvalue()
