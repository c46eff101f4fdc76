"""Errors that a person can mend, as one sentence with an exit code."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from egiz_cli.exit_codes import FAILED, INTERRUPTED, PIPE_CLOSED, USAGE

_FIXES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "change its permissions, or use an account that may",
    errno.EPERM: "change its permissions, or use an account that may",
    errno.EISDIR: "give a file, not a directory",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.ELOOP: "a symbolic link leads back to itself",
    errno.EROFS: "give a path that can be written",
    errno.ENOSPC: "free some space there",
    errno.EEXIST: "remove it, or give another path",
    errno.ENAMETOOLONG: "give a shorter path",
}

_LIMITS = (errno.EMFILE, errno.ENFILE)


class Unusable(click.ClickException):
    """A file or a configuration that cannot be used."""

    exit_code = USAGE


def explain(error: OSError) -> str:
    """`file: reason; fix`, as far as each is known."""
    if error.errno in _LIMITS:
        return f"{error.strerror}; raise what `ulimit -n` says, or LimitNOFILE"
    is_relative = not Path(str(error.filename or "")).is_absolute()
    if error.errno == errno.ENOENT and is_relative and _is_cwd_gone():
        return "the current directory was removed; change to another one"
    where = f"{click.format_filename(error.filename)}: " if error.filename else ""
    fix = _FIXES.get(error.errno or 0, "") if error.filename else ""
    return f"{where}{error.strerror or error}{fix and '; '}{fix}"


def _is_cwd_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109  # Path.cwd() is this
    except FileNotFoundError:
        return True
    return False


def without_passwords(lines: str) -> str:
    """With *** for the password of each URL: an error repeats what a person typed."""
    words = re.split(r"(\s+)", lines)
    return "".join(map(_without_password, words)) if "@" in lines else lines


def _without_password(word: str) -> str:
    before, at, host = word.rpartition("@")
    scheme, slashes, login = before.rpartition("://")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}:***@{host}" if at and colon else word


def _printable(lines: str) -> str:
    """Without what a terminal would follow: a name in a file may come from anybody."""
    shown = without_passwords(lines)
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Make a sentence and an exit code of what a command did not handle itself."""
    try:
        yield
    except BrokenPipeError:
        # Commands handle those of their own connections: this one is of the output.
        raise click.exceptions.Exit(PIPE_CLOSED) from None
    except click.ClickException as error:
        # Its subclasses cannot be made again from outside.
        error.message = _printable(error.message)  # type: ignore[misc]  # as above
        raise
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich makes a 1 of it
            raise click.exceptions.Exit(PIPE_CLOSED) from None
        raise
    except OSError as error:
        is_of_the_file = error.filename and error.errno not in _LIMITS
        failure = Unusable if is_of_the_file else click.ClickException
        raise failure(_printable(explain(error))) from None
    except MemoryError:
        reason = "not enough memory; is a file that it reads too large?"
        raise click.ClickException(reason) from None
    except UnicodeDecodeError as error:
        raise Unusable(f"a file is not UTF-8 text: {error}") from None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except click.Abort as abort:  # at a question
        was_ctrl_c = isinstance(abort.__context__, KeyboardInterrupt)
        newline = "\n" if abort.__context__ else ""  # none was typed
        click.echo(f"{newline}nothing was changed", err=True)
        raise click.exceptions.Exit(INTERRUPTED if was_ctrl_c else FAILED) from None
