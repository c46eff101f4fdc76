"""The commands `egiz-bridge dlq` and `egiz-bridge spool`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from egiz_bridge.config.settings import Settings, load
from egiz_bridge.errors import ConfigError, Unavailable
from egiz_bridge.spool.dead_letters import (
    Letter,
    Selection,
    backlogs,
    letters,
    purge,
    reasons,
    replay,
)

EXIT_CONFIG = 2

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="The file that `run` was given."
)
_ids = click.argument("ids", nargs=-1, type=int)
_reason = click.option("--reason", help="All letters with this reason.")
_all = click.option("--all", "is_all", is_flag=True, help="All letters.")


@click.group("dlq")
def dead_letters() -> None:
    """See, replay or purge dead letters: messages that could not be written.

    They may be replayed while the bridge runs, once the cause is mended: it takes them
    within seconds, and what fails again is a dead letter again.
    """


@dead_letters.command("list")
@config_option
@_reason
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1))
def list_letters(config: Path | None, reason: str | None, limit: int) -> None:
    """Count dead letters by reason, and tell the newest."""
    path = _settings(config).spool.path
    selection = Selection(reason=reason, is_all=reason is None)
    with _told():
        counted = reasons(path)
        newest = letters(path, selection, limit)
    for sink, why, count in counted:
        click.echo(f"{count:8}  {why:20} {sink or 'not of the contract'}")
    for letter in newest:
        click.echo(_line(letter))
    if not counted:
        click.echo("no dead letters", err=True)


@dead_letters.command()
@config_option
@click.argument("letter_id", type=int, metavar="ID")
def show(config: Path | None, letter_id: int) -> None:
    """Tell all of one letter; its payload goes to stdout as it came."""
    path = _settings(config).spool.path
    with _told():
        found = letters(path, Selection(ids=(letter_id,)), 1)
    if not found:
        raise click.ClickException(f"there is no dead letter {letter_id}")
    click.echo(f"{_line(found[0])}\n{found[0].detail}", err=True)
    if not found[0].is_whole:
        click.echo(f"of {found[0].payload_bytes} bytes, the first 4096", err=True)
    sys.stdout.buffer.write(found[0].payload + b"\n")


@dead_letters.command("replay")
@config_option
@_ids
@_reason
@_all
def replay_letters(
    config: Path | None, ids: tuple[int, ...], reason: str | None, is_all: bool
) -> None:
    """Write letters once more: those with IDS, with a reason, or all."""
    settings = _settings(config)
    sinks = [table.sink_name for table in settings.sinks()]
    with _told():
        done, left = replay(
            settings.spool.path, _selection(ids, reason, is_all=is_all), sinks
        )
    click.echo(f"{done} handed to the bridge")
    if left:
        click.echo(f"{left} left: longer than what was kept of them", err=True)


@dead_letters.command("purge")
@config_option
@_ids
@_reason
@_all
def purge_letters(
    config: Path | None, ids: tuple[int, ...], reason: str | None, is_all: bool
) -> None:
    """Forget letters: those with IDS, with a reason, or all."""
    path = _settings(config).spool.path
    with _told():
        done = purge(path, _selection(ids, reason, is_all=is_all))
    click.echo(f"{done} forgotten")


@click.group()
def spool() -> None:
    """See what waits on this disk for a database."""


@spool.command()
@config_option
def status(config: Path | None) -> None:
    """Tell what waits for each sink, and how full the spool is."""
    settings = _settings(config).spool
    with _told():
        waiting = backlogs(settings.path)
        dead = sum(count for _, _, count in reasons(settings.path))
    for sink, batches, messages, size in waiting:
        click.echo(
            f"{sink:10} {messages:10,} messages, {batches:,} batches, {size:,} B"
        )
    used = sum(backlog.bytes for backlog in waiting)
    share = 100 * used / settings.max_bytes
    click.echo(f"{used:,} of {settings.max_bytes:,} bytes ({share:.1f} %)")
    click.echo(f"{dead:,} dead letters")


@contextmanager
def _told() -> Iterator[None]:
    """Ends the command with a sentence when the spool cannot be used."""
    try:
        yield
    except Unavailable as fault:
        raise click.ClickException(str(fault)) from None


def _settings(config: Path | None) -> Settings:
    try:
        return load(config)
    except ConfigError as fault:
        for problem in fault.problems:
            click.echo(problem, err=True)
        sys.exit(EXIT_CONFIG)


def _selection(ids: tuple[int, ...], reason: str | None, *, is_all: bool) -> Selection:
    if not (ids or reason or is_all):
        raise click.UsageError("say which: IDS, --reason or --all")
    return Selection(ids, reason, is_all)


def _line(letter: Letter) -> str:
    at = datetime.fromtimestamp(letter.received_ms / 1000, UTC)
    told = f"{letter.id:8}  {letter.reason:20} {at:%Y-%m-%d %H:%M:%S}Z"
    return f"{told}  {letter.topic} ({letter.payload_bytes} B)"
