"""Files that a command writes at its end: each is tried, and what failed is named."""

from collections.abc import Mapping
from pathlib import Path

import click
from egiz_cli import explain


def write_reports(files: Mapping[Path, bytes]) -> None:
    """Write all of them; call it after the result is on the screen.

    Raises:
        click.ClickException: at the end, with each that could not be written.
    """
    failures = []
    for path, content in files.items():
        try:
            path.write_bytes(content)
        except OSError as error:
            error.filename = error.filename or path  # of a full disk, it is not known
            failures.append(explain(error))
    if failures:
        raise click.ClickException(f"a report is not written: {'; '.join(failures)}")
