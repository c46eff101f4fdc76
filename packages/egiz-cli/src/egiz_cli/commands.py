"""Commands with a section "Exit codes" in their help."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from egiz_cli.errors import explain
from egiz_cli.exit_codes import MEANINGS


class _ExitCodes(click.Command):
    """Its help ends with the exit codes; `exit_codes` says what one means here."""

    def __init__(
        self, *args: Any, exit_codes: Mapping[int, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.exit_codes = MEANINGS | dict(exit_codes or {})

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes, and then what else stands at the end."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(c), text) for c, text in self.exit_codes.items()])
        super().format_epilog(ctx, formatter)


class Command(_ExitCodes):
    """A command."""


class Group(_ExitCodes, click.Group):
    """A group of commands."""

    command_class = Command
    group_class = type


def command(name: str | None = None, **kwargs: Any) -> Callable[..., Command]:
    """As click.command."""
    return click.command(name, cls=kwargs.pop("cls", Command), **kwargs)


def group(name: str | None = None, **kwargs: Any) -> Callable[..., Group]:
    """As click.group."""
    return click.group(name, cls=Group, **kwargs)


class Real(click.FloatRange):
    """A number within bounds; neither NaN nor infinite, which pass every comparison."""

    def __init__(
        self, minimum: float, maximum: float = 1e9, *, min_open: bool = False
    ) -> None:
        super().__init__(minimum, maximum, min_open=min_open)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """As the base class does."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124  # NaN alone is unequal to itself
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class OutputFile(click.Path):
    """A file that is written at the end: that it can be is tried at the start."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """As the base class does; a file that is not there is made, and removed."""
        path = super().convert(value, param, ctx)
        assert isinstance(path, Path), "as path_type says"
        try:
            if not path.exists():
                _try_to_make(os.path.realpath(path))  # what a symbolic link leads to
        except OSError as error:
            self.fail(explain(error), param, ctx)
        return path


def _try_to_make(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))
    Path(path).unlink()
