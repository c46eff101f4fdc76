"""The commands `egiz-bridge dlq` and `egiz-bridge spool`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from egiz_cli import FAILED, group

from egiz_bridge.cli.orphans import adopt, purge_sink
from egiz_bridge.cli.shared import config_option, load_settings
from egiz_bridge.errors import Unavailable
from egiz_bridge.orphans import find_orphans
from egiz_bridge.printable import escaped, printable
from egiz_bridge.spool.dead_letters import (
    Letter,
    Selection,
    backlogs,
    letters,
    purge,
    reasons,
    replay,
)

_ID = click.IntRange(1, 2**63 - 1)  # as SQLite numbers rows
_ids = click.argument("ids", nargs=-1, type=_ID)
_reason = click.option(
    "--reason", help="Those with this reason; `dlq list` counts them."
)
_all = click.option("--all", "is_all", is_flag=True, help="All dead letters.")
_UNUSABLE = {FAILED: "the spool cannot be used; the reason is printed"}


@group("dlq")
def dead_letters() -> None:
    """List, replay or purge messages that were not written.

    They are called dead letters. Replay them once the cause is mended: the bridge,
    which may run meanwhile, writes them within seconds. What fails again becomes a dead
    letter again.

    \b
      egiz-bridge dlq list --config bridge.toml
      egiz-bridge dlq show 17 --config bridge.toml
      egiz-bridge dlq replay --reason field_type_conflict --config bridge.toml
    """  # noqa: D301  # \b is click's mark for lines that stay as they are


@dead_letters.command("list", exit_codes=_UNUSABLE)
@config_option
@_reason
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=_ID,
    help="How many of the newest are listed.",
)
def list_letters(config: Path | None, reason: str | None, limit: int) -> None:
    """Count dead letters by reason, and list the newest."""
    path = load_settings(config).spool.path
    selection = Selection(reason=reason, is_all=reason is None)
    with _translate_errors():
        counted = reasons(path)
        newest = letters(path, selection, limit)
    for sink, why, count in counted:
        click.echo(f"{count:8}  {why:20} {sink or 'not of the contract'}")
    for letter in newest:
        click.echo(_line(letter))
    if not counted:
        click.echo("no dead letters", err=True)


@dead_letters.command(exit_codes={FAILED: "there is no such letter, or no spool"})
@config_option
@click.argument("letter_id", type=_ID, metavar="ID")
def show(config: Path | None, letter_id: int) -> None:
    """Show one dead letter; its payload goes to stdout as it arrived.

    \b
      egiz-bridge dlq show 17 --config bridge.toml > payload.json
    """  # noqa: D301  # as above
    path = load_settings(config).spool.path
    with _translate_errors():
        found = letters(path, Selection(ids=(letter_id,)), 1)
    if not found:
        raise click.ClickException(f"there is no dead letter {letter_id}")
    click.echo(f"{_line(found[0])}\n{escaped(found[0].detail)}", err=True)
    if not found[0].is_whole:
        click.echo(f"of {found[0].payload_bytes} bytes, the first 4096", err=True)
    click.echo(found[0].payload)


@dead_letters.command("replay", exit_codes=_UNUSABLE)
@config_option
@_ids
@_reason
@_all
def replay_letters(
    config: Path | None, ids: tuple[int, ...], reason: str | None, is_all: bool
) -> None:
    """Write dead letters again: those with IDS, with a reason, or all.

    \b
      egiz-bridge dlq replay --all --config bridge.toml
    """  # noqa: D301  # as above
    settings = load_settings(config)
    sinks = [table.sink_name for table in settings.sinks()]
    selection = _selection(ids, reason, is_all=is_all)
    with _translate_errors():
        found = replay(settings.spool.path, selection, sinks)
    click.echo(f"{found.done} handed to the bridge")
    if found.too_long:
        sentence = "their payloads were too long to be kept whole"
        click.echo(f"{found.too_long} cannot be replayed: {sentence}", err=True)
    for sink, count in found.of_others.items():
        click.echo(f"{count} stay: there is no sink {sink}", err=True)


@dead_letters.command("purge", exit_codes=_UNUSABLE)
@config_option
@_ids
@_reason
@_all
def purge_letters(
    config: Path | None, ids: tuple[int, ...], reason: str | None, is_all: bool
) -> None:
    """Delete dead letters: those with IDS, with a reason, or all.

    \b
      egiz-bridge dlq purge 17 18 --config bridge.toml
    """  # noqa: D301  # as above
    path = load_settings(config).spool.path
    with _translate_errors():
        done = purge(path, _selection(ids, reason, is_all=is_all))
    click.echo(f"{done} deleted")


@group()
def spool() -> None:
    """Show what waits on this disk, and what earlier runs left."""


@spool.command(exit_codes=_UNUSABLE)
@config_option
def status(config: Path | None) -> None:
    """Show what waits for each sink, and how full the spool is.

    \b
      egiz-bridge spool status --config bridge.toml
    """  # noqa: D301  # as above
    every = load_settings(config)
    settings = every.spool
    with _translate_errors():
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
    for line in find_orphans(every).lines():
        click.echo(line)


spool.add_command(adopt)
spool.add_command(purge_sink)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Ends the command with a sentence when the spool cannot be used."""
    try:
        yield
    except Unavailable as error:
        raise click.ClickException(f"spool.path: {error}") from None


def _selection(ids: tuple[int, ...], reason: str | None, *, is_all: bool) -> Selection:
    if not (ids or reason or is_all):
        raise click.UsageError("give IDS, --reason or --all: which dead letters?")
    return Selection(ids, reason, is_all)


def _line(letter: Letter) -> str:
    at = datetime.fromtimestamp(letter.received_ms / 1000, UTC)
    start = f"{letter.id:8}  {letter.reason:20} {at:%Y-%m-%d %H:%M:%S}Z"
    return f"{start}  {printable(letter.topic)} ({letter.payload_bytes} B)"
