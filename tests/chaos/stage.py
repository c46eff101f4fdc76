"""All the parts of a run, and what can be done to them."""

import base64
import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rig import stored
from rig.bridge import Bridge
from rig.clock import FakeClock
from rig.proxy import Proxy
from rig.scripted_http import Answer, Request, Script, ScriptedHttp
from rig.servers import InfluxDb, Mosquitto
from rig.waiting import eventually

from chaos.fleet import Fleet

TOKEN = "bridge:right"
_AUTHORIZATION = f"Basic {base64.b64encode(TOKEN.encode()).decode()}"
PARTS = ("", "-wal", "-shm")


class Stage:
    """Fleet, broker, network, bridge, network, database; an archive as well.

    Attributes:
        refusal: answers instead of the database, if there is one.
        after: what the database is said to have answered to what it has stored.
        archives: what the archive was, before it was removed, moved or damaged.
        lost: points that were in a spool when that was damaged.
    """

    def __init__(
        self,
        directory: Path,
        rng: random.Random,
        servers: tuple[Mosquitto, InfluxDb, ScriptedHttp],
        make_proxy: Callable[[str, int], Proxy],
        make_bridge: Callable[..., Bridge],
    ) -> None:
        self.directory, self.rng = directory, rng
        self.broker, self.influxdb, self._database = servers
        self.refusal: Script | None = None
        self._database.answer = self._answer
        self.to_broker = make_proxy(self.broker.host, self.broker.port)
        self.to_database = make_proxy(self._database.host, self._database.port)
        self.clock = FakeClock(directory / "clock")
        self.token = directory / "token"
        self.token.write_text(TOKEN)
        self.password = directory / "password"
        self.password.write_text("bridge")
        self.bridge = self._made(make_bridge)
        self.archives: list[Path] = []
        self.lost: set[tuple[str, str, int]] = set()
        self.start(wait=True)
        self.fleet = Fleet(self.broker, rng)

    def _made(self, make_bridge: Callable[..., Bridge]) -> Bridge:
        disks = [self.directory / name for name in ("spool-disk", "archive-disk")]
        for disk in disks:
            disk.mkdir()
        spool, archive = disks[0] / "spool.sqlite", disks[1] / "archive.sqlite"
        database = {
            "url": f"http://{self.to_database.host}:{self.to_database.port}",
            "api": "v1",
            "database": self.influxdb.database,
            "token_file": str(self.token),
        }
        login = {"username": "bridge", "password_file": str(self.password)}
        made = make_bridge(
            self.to_broker.url,
            mqtt={"url": self.to_broker.url, **login},
            influxdb=database,
            archive={"path": str(archive)},
            spool={"path": str(spool)},
        )
        made.spool, made.archive = spool, archive
        return made

    def start(self, *, wait: bool) -> None:
        """Start the bridge, with the clock of this run."""
        self.bridge.start(wait=wait, env=self.clock.env)

    def begin_again(self, *, wait: bool) -> None:
        """Stop the bridge as a service manager does, and start it."""
        # Within a moment of a start there is no handler yet for the signal.
        eventually(lambda: self.bridge.get("/healthz"))
        assert self.bridge.stop() == 0
        self.start(wait=wait)

    def moment(self) -> None:
        """Some time, at random."""
        time.sleep(self.rng.uniform(0.2, 2))

    def has_everything(self) -> bool:
        """Whether the bridge has acknowledged all that the broker had for it."""
        metrics = self.bridge.metrics()
        unacknowledged = metrics["mqtt_unacknowledged_messages"]
        quiet = metrics["mqtt_connected"] and not unacknowledged
        time.sleep(1)  # and none come any more
        again = self.bridge.metrics()
        same = metrics["messages_received_total"] == again["messages_received_total"]
        return bool(quiet and same and not again["mqtt_unacknowledged_messages"])

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """The fleet publishes nothing, and the bridge has acknowledged everything."""
        self.fleet.pause()
        try:
            eventually(self.has_everything, timeout=120)
            yield
        finally:
            self.fleet.resume()

    def keep_archive(self) -> Path:
        """A name for what the archive was; it counts as stored in the end."""
        eventually(self.bridge.archive.exists)  # made by the first message
        self.archives.append(self.directory / f"archive-{len(self.archives)}.sqlite")
        return self.archives[-1]

    def copy_archive(self) -> None:
        """Keep a copy, of a bridge that is silent."""
        with (
            contextlib.closing(sqlite3.connect(self.bridge.archive)) as source,
            contextlib.closing(sqlite3.connect(self.keep_archive())) as target,
        ):
            source.backup(target)

    def in_archives(self) -> stored.Points:
        """What is in the archive and in those before it."""
        found: stored.Points = {}
        for archive in [*self.archives, self.bridge.archive]:
            found |= stored.in_archive(archive)
        return found

    def _answer(self, request: Request) -> Answer:
        if self.refusal is not None:
            return self.refusal(request)
        if request.headers.get("Authorization") != _AUTHORIZATION:
            return Answer(401, '{"error":"authorization failed"}')
        return self.stored(request)

    def stored(self, request: Request) -> Answer:
        """Hand a write on to the database."""
        try:
            self.influxdb.write(b"\n".join(request.lines))
        except OSError:
            return Answer(502)
        return Answer()


def remove(path: Path) -> None:
    """Remove a file of SQLite, with what belongs to it."""
    for part in _parts(path):
        part.unlink(missing_ok=True)


def move(path: Path, to: Path) -> None:
    """Move a file of SQLite, with what belongs to it."""
    for part in _parts(path):
        with contextlib.suppress(FileNotFoundError):
            part.rename(to.with_name(to.name + part.name[len(path.name) :]))


def _parts(path: Path) -> Iterator[Path]:
    """The three files of now; not those that a bridge makes instead meanwhile."""
    found = {path.with_name(path.name + part): 0 for part in PARTS}
    for part in found:
        with contextlib.suppress(OSError):
            found[part] = part.stat().st_ino
    for part, inode in found.items():
        with contextlib.suppress(OSError):
            if part.stat().st_ino == inode:
                yield part


def overwrite(path: Path) -> None:
    """Damage a file of SQLite beyond what its log could mend."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"nonsense" * 1000)


def replace_content(path: Path, content: bytes) -> None:
    """Write a file that is seen whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)


def copied(path: Path, to: Path) -> None:
    """A copy of an SQLite file as it is now, made by SQLite."""
    to.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM INTO ?", (str(to),))
