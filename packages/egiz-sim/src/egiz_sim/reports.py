"""Files that a command writes at its end: each is tried, and what failed is named."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from egiz_cli import explain


@contextmanager
def reporting(files: Mapping[Path, bytes]) -> Iterator[None]:
    """Show the result in the block; then, also if that fails, all of them are written.

    The screen may be a pipe that nothing reads, or a terminal that was closed.

    Raises:
        click.ClickException: at the end, with each that could not be written.
    """
    try:
        yield
    finally:
        _write(files)


def _write(files: Mapping[Path, bytes]) -> None:
    failures = []
    for path, content in files.items():
        try:
            path.write_bytes(content)
        except OSError as error:
            error.filename = error.filename or path  # of a full disk, it is not known
            failures.append(explain(error))
    if failures:
        raise click.ClickException(f"a report is not written: {'; '.join(failures)}")
