"""What earlier runs left and this configuration does not use, with what to do about it.

A sink that was renamed or removed, the spool of another number of workers, the session
of another client id.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from egiz_bridge.config.settings import ENV_PREFIX, Settings
from egiz_bridge.errors import Unavailable
from egiz_bridge.spool.orphans import Contents, contents, files_beside

_log = structlog.get_logger()


class Orphan(NamedTuple):
    """One of them, in words, and what an operator may do."""

    what: str
    commands: tuple[str, str]


class Orphans(NamedTuple):
    """All of them.

    Attributes:
        sinks: without a table, in the spool of this bridge.
        files: spools that no program uses.
        sessions: by client id.
        spools: the files that were looked at.
    """

    sinks: list[Orphan]
    files: list[Orphan]
    sessions: dict[str, Orphan]
    spools: list[Path]

    def lines(self) -> Iterator[str]:
        """Each in words, and indented below it what an operator may do."""
        for one in (*self.sinks, *self.files, *self.sessions.values()):
            yield one.what
            yield from (f"  {step}" for step in one.commands)


class _Run(NamedTuple):
    """What the bridges of a configuration use, all shards together."""

    spool: Path  # to which shards add a number
    spools: list[Path]
    client_ids: list[str]
    program: str


def _run_of(settings: Settings) -> _Run:
    path, client_id = settings.spool.path, settings.mqtt.client_id
    if settings.shard is None:
        return _Run(path, [path], [client_id], "egiz-bridge")
    index, count = settings.shard.split("/")
    spool = path.with_stem(path.stem.removesuffix(f"-{index}"))
    base_id = client_id.removesuffix(f"-{index}")
    numbers = range(1, int(count) + 1)
    program = f"{ENV_PREFIX}SHARD={settings.shard} egiz-bridge"
    spools = [spool.with_stem(f"{spool.stem}-{number}") for number in numbers]
    return _Run(spool, spools, [f"{base_id}-{n}" for n in numbers], program)


def find_orphans(settings: Settings) -> Orphans:
    """Look for them: in the spool, and in those beside it that no program uses."""
    run = _run_of(settings)
    found = Orphans([], [], {}, [])
    sessions: set[tuple[str, str]] = set()
    with suppress(Unavailable):
        own = contents(settings.spool.path)
        found.spools.append(settings.spool.path)
        found.sinks.extend(_sinks(own, settings, run))
        sessions.update(own.sessions)
    for path in files_beside(run.spool, run.spools):
        try:
            other = contents(path)
        except Unavailable as error:
            found.files.append(_file(path, str(error), run))
            continue
        found.spools.append(path)
        sessions.update(other.sessions)
        if other.messages or other.letters:
            found.files.append(_file(path, _counted(other), run))
    for client_id, url in sorted(sessions):
        if url in map(str, settings.mqtt.url) and client_id not in run.client_ids:
            found.sessions[client_id] = _session(client_id, run)
    return found


def _sinks(own: Contents, settings: Settings, run: _Run) -> Iterator[Orphan]:
    tables = {table.sink_name for table in settings.sinks()}
    for sink in sorted({*own.messages, *own.letters} - tables - {""}):
        counts = f"{own.messages[sink]:,} messages, {own.letters[sink]:,} dead letters"
        begin = f"{run.program} spool"
        commands = (f"{begin} adopt {sink} --to SINK", f"{begin} purge {sink}")
        yield Orphan(f"{counts} of the sink {sink}, which has no table", commands)


def _file(path: Path, what: str, run: _Run) -> Orphan:
    commands = (f"{run.program} spool adopt --file {path}", f"rm {path}")
    return Orphan(f"{what} in {path}, which no bridge uses", commands)


def _session(client_id: str, run: _Run) -> Orphan:
    first = "run the earlier configuration until it has stored what is queued"
    what = f"the session {client_id}, for which the broker goes on queueing"
    return Orphan(what, (first, f"{run.program} session end {client_id}"))


def _counted(found: Contents) -> str:
    messages, letters = found.messages.total(), found.letters.total()
    return f"{messages:,} messages, {letters:,} dead letters"


def log_orphans(settings: Settings) -> None:
    """A line for each; of several shards, the first one looks beside its file."""
    found = find_orphans(settings)
    is_first = (settings.shard or "1/1").startswith("1/")
    beside = [*found.files, *found.sessions.values()] if is_first else []
    for one in [*found.sinks, *beside]:
        _log.warning(
            "left by an earlier run, and not used by this configuration",
            what=one.what,
            next_step="; or: ".join(one.commands),
        )
