"""A program: the group of its commands, and how it starts and ends."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import ShellComplete, get_completion_class

from egiz_cli.commands import Command, Group
from egiz_cli.errors import explain, translate_errors
from egiz_cli.exit_codes import DONE, FAILED, PIPE_CLOSED, USAGE
from egiz_cli.signals import ended_in_good_order

_SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/{name}",
    "zsh": '"${{fpath[1]}}/_{name}"',
}


class Program(Group):
    """A program.

    Args:
        name: of the program.
        version: what `--version` prints.
    """

    def __init__(self, name: str, *args: Any, version: str, **kwargs: Any) -> None:
        kwargs["context_settings"] = {"help_option_names": ["-h", "--help"]}
        super().__init__(name, *args, **kwargs)
        self._name = name
        self.params.append(_version_option(f"{name} {version}"))
        self.add_command(_completion(self))

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options before the command."""
        with translate_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the rest, and run the command."""
        with ended_in_good_order(), translate_errors():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:
        """Run the program; ends with an exit code of the table."""
        _prepare_streams()
        kwargs["prog_name"] = self._name
        try:
            return super().main(args, *rest, **kwargs)
        except SystemExit as end:
            sys.exit(_flush_output(end.code))
        except Exception:
            if _completion_variable(self._name) not in os.environ:
                raise
            # No word about it: it would stand in the line that a person types.
            sys.exit(USAGE)


def _prepare_streams() -> None:
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started it: no other file may get its number
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))
        elif number:  # what the terminal's alphabet lacks is escaped
            getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    _let_stderr_fail()


class _Unheard(io.FileIO):
    """A stderr that ends nothing when its disk is full or its terminal was closed."""

    def write(self, text: Any) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError:
            return len(text)  # it is lost: there is no other place to say so


def _let_stderr_fail() -> None:
    stream = sys.__stderr__
    if stream is None or sys.stderr is not stream:
        return  # a test has put another there
    raw = io.BufferedWriter(_Unheard(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(
        raw, stream.encoding, "backslashreplace", line_buffering=True
    )


def _flush_output(code: str | int | None) -> str | int | None:
    """What is still in the buffer at the end may find its reader gone, too."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
    except OSError as error:
        click.echo(f"Error: cannot write the output: {explain(error)}", err=True)
        code = code or FAILED
    else:
        if code != PIPE_CLOSED:
            return code
    # Python would try again while it ends, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _version_option(text: str) -> click.Option:
    def show(ctx: click.Context, _option: click.Parameter, is_given: bool) -> None:
        if is_given and not ctx.resilient_parsing:
            click.echo(text)
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Show the version and exit.",
    )


def _completion_variable(name: str) -> str:
    """The environment variable by which a shell asks for completions."""
    return f"_{name}_complete".replace("-", "_").upper()


def _completion(program: Program) -> Command:
    name = program.name or ""

    def run(shell: str) -> None:
        made = get_completion_class(shell)
        assert made, "click knows both"
        variable = _completion_variable(name)
        # Not the class's own: it runs the shell to see how old it is.
        click.echo(ShellComplete.source(made(program, {}, name, variable)).strip())
        target = _SHELLS[shell].format(name=name)
        click.echo(f"# To install: {name} completion {shell} > {target}")

    return Command(
        "completion",
        callback=run,
        params=[click.Argument(["shell"], type=click.Choice(list(_SHELLS)))],
        exit_codes={DONE: "the script is printed"},
        short_help="Print a script that completes commands and options.",
        help="Print a script with which the shell completes commands and options."
        "\n\n\b\nThen start a new shell:\n"
        + "\n".join(
            f"  {name} completion {shell} \\\n    > {target.format(name=name)}"
            for shell, target in _SHELLS.items()
        ),
    )
