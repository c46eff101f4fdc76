"""Commands with a section "Exit codes" in their help."""

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from egiz_cli.errors import explain
from egiz_cli.exit_codes import MEANINGS

_INPUT_BYTES_MAX = 1_000_000


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


class InputFile(click.Path):
    """A file that is read as a whole, and so has a megabyte at most.

    What is wrong with it in other ways is left to the one that reads it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(path_type=Path, **kwargs)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """As the base class does; too large a file is an error before it is read."""
        path = super().convert(value, param, ctx)
        assert isinstance(path, Path), "as path_type says"
        with suppress(OSError):
            if _is_too_large(path):
                name = click.format_filename(path)
                self.fail(f"{name}: too large; at most 1 MB", param, ctx)
        return path


def _is_too_large(path: Path) -> bool:
    """Not of a pipe, as in `--config <(command)`: it can be read once only."""
    status = path.stat()
    if not stat.S_ISCHR(status.st_mode):
        return status.st_size > _INPUT_BYTES_MAX
    with path.open("rb") as device:  # /dev/null is empty, /dev/zero has no end
        if device.isatty():
            return False
        return len(device.read(_INPUT_BYTES_MAX + 1)) > _INPUT_BYTES_MAX


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
