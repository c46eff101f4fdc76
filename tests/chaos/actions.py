"""What is done to a stage: each begins, lasts, and ends."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from rig.scripted_http import Answer, Request
from rig.stored import in_influxdb
from rig.waiting import eventually

from chaos.stage import (
    TOKEN,
    Stage,
    copied,
    move,
    overwrite,
    remove,
    replace_content,
)

Held = Callable[[Stage], AbstractContextManager[None]]

GOOD_TOKEN = TOKEN.encode()
_WINDOW = 10
_IDLE_CONNECTIONS = 80


@contextmanager
def database_is_killed(stage: Stage) -> Iterator[None]:
    stage.influxdb.kill()
    yield
    stage.influxdb.start()


@contextmanager
def database_is_suspended(stage: Stage) -> Iterator[None]:
    os.kill(stage.influxdb.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stage.influxdb.pid, signal.SIGCONT)


def answers(status: int, text: str = "", after_s: float = 0) -> Held:
    """Whatever is written: the database does not see it."""

    def answer(_: Request) -> Answer:
        time.sleep(after_s)
        return Answer(status, text)

    @contextmanager
    def held(stage: Stage) -> Iterator[None]:
        stage.refusal = answer
        yield
        stage.refusal = None

    return held


@contextmanager
def database_is_unsteady(stage: Stage) -> Iterator[None]:
    """It is slow, refuses at random, or denies a success."""

    def answer(request: Request) -> Answer:
        time.sleep(stage.rng.uniform(0, 0.5))
        status = stage.rng.choice([204, 204, 401, 404, 429, 500, 503])
        done = stage.stored(request) if status in (204, 500) else Answer(status)
        # A 500 after the write: it will be written again.
        return done if done.status != Answer().status else Answer(status)

    stage.refusal = answer
    yield
    stage.refusal = None


@contextmanager
def database_is_unreachable(stage: Stage) -> Iterator[None]:
    stage.to_database.refuse()
    yield
    stage.to_database.accept()


@contextmanager
def database_hangs(stage: Stage) -> Iterator[None]:
    stage.to_database.pause()
    yield
    stage.to_database.resume()


def token(content: bytes) -> Held:
    @contextmanager
    def held(stage: Stage) -> Iterator[None]:
        replace_content(stage.token, content)
        yield
        replace_content(stage.token, GOOD_TOKEN)

    return held


@contextmanager
def token_is_removed(stage: Stage) -> Iterator[None]:
    stage.token.unlink()
    yield
    replace_content(stage.token, GOOD_TOKEN)


@contextmanager
def broker_is_restarted(stage: Stage) -> Iterator[None]:
    stage.broker.stop()
    yield
    stage.broker.start()


@contextmanager
def broker_is_killed(stage: Stage) -> Iterator[None]:
    """When it has nothing to lose: Mosquitto saves its queues now and then only."""
    with stage.silence():
        stage.broker.kill()
        yield
        stage.broker.start()
        eventually(lambda: stage.bridge.metrics()["mqtt_connected"], timeout=60)


@contextmanager
def broker_is_unreachable(stage: Stage) -> Iterator[None]:
    stage.to_broker.refuse()
    yield
    stage.to_broker.accept()


@contextmanager
def broker_hangs(stage: Stage) -> Iterator[None]:
    stage.to_broker.pause()
    yield
    stage.to_broker.resume()


@contextmanager
def password_is_empty(stage: Stage) -> Iterator[None]:
    """It is read for each connection: the next one."""
    replace_content(stage.password, b"\n")
    stage.to_broker.reset()
    yield
    replace_content(stage.password, b"\xef\xbb\xbfbridge\r\n\r\n")


@contextmanager
def window_is_small(stage: Stage) -> Iterator[None]:
    conf = stage.broker.directory / "conf.d" / "rig.conf"
    before = conf.read_text()
    stage.broker.stop()
    conf.write_text(f"{before}max_inflight_messages {_WINDOW}\n")
    stage.broker.start()
    time.sleep(5)  # the fleet has published through it
    yield
    stage.broker.stop()
    conf.write_text(before)
    stage.broker.start()


@contextmanager
def spool_is_removed(stage: Stage) -> Iterator[None]:
    remove(stage.bridge.spool)
    yield


@contextmanager
def spool_is_moved(stage: Stage) -> Iterator[None]:
    move(stage.bridge.spool, stage.directory / f"spool-{time.monotonic_ns()}.sqlite")
    yield


@contextmanager
def spool_is_replaced(stage: Stage) -> Iterator[None]:
    """By a copy of itself that is as old as a moment, as by a backup."""
    copy = stage.bridge.spool.with_name("copy.sqlite")
    copied(stage.bridge.spool, copy)
    stage.moment()
    copy.replace(stage.bridge.spool)
    yield


@contextmanager
def spool_with_a_backlog_is_removed(stage: Stage) -> Iterator[None]:
    with answers(503)(stage):
        _wait_for_backlog(stage)
        remove(stage.bridge.spool)
        yield


@contextmanager
def spool_is_overwritten(stage: Stage) -> Iterator[None]:
    """What waited in it is lost, by definition: the bridge must say how much."""
    before_ms = stage.fleet.now_ms - 60_000
    set_aside = "sink_set_aside_total/influxdb"
    with answers(503)(stage):
        _wait_for_backlog(stage)
        with stage.silence():
            metrics = stage.bridge.metrics()
            expected = metrics[set_aside] + metrics["sink_spooled/influxdb"]
            published = {key for key in list(stage.fleet.points) if key[2] > before_ms}
            lost = published - in_influxdb(stage.influxdb, before_ms).keys()
            assert 0 < len(lost) <= metrics["sink_spooled/influxdb"]
            stage.lost |= lost
            overwrite(stage.bridge.spool)
            yield
    eventually(lambda: stage.bridge.metrics()[set_aside] == expected, timeout=90)


def _wait_for_backlog(stage: Stage) -> None:
    eventually(lambda: stage.bridge.metrics()["sink_spooled/influxdb"] > 100)


def disk_is_away(part: str) -> Held:
    @contextmanager
    def held(stage: Stage) -> Iterator[None]:
        disk = getattr(stage.bridge, part).parent
        away = disk.rename(disk.with_name(f"{disk.name}-away"))
        yield
        away.rename(disk)

    return held


@contextmanager
def disk_is_full(stage: Stage) -> Iterator[None]:
    """Played by the kernel's limit on the size of a file; the log is on it, too."""
    assert stage.bridge.process is not None
    pid = stage.bridge.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, -1))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def archive_is_moved(stage: Stage) -> Iterator[None]:
    move(stage.bridge.archive, stage.keep_archive())
    yield


@contextmanager
def archive_is_removed(stage: Stage) -> Iterator[None]:
    """Its content has a second name, to be counted in the end."""
    stage.keep_archive().hardlink_to(stage.bridge.archive)
    remove(stage.bridge.archive)
    yield


@contextmanager
def archive_is_replaced(stage: Stage) -> Iterator[None]:
    stage.keep_archive().hardlink_to(stage.bridge.archive)
    copy = stage.bridge.archive.with_name("copy.sqlite")
    copied(stage.bridge.archive, copy)
    copy.replace(stage.bridge.archive)
    yield


@contextmanager
def archive_is_overwritten(stage: Stage) -> Iterator[None]:
    with stage.silence():
        stage.copy_archive()
        overwrite(stage.bridge.archive)
        yield


def clock_jumps(shift: str) -> Held:
    @contextmanager
    def held(stage: Stage) -> Iterator[None]:
        stage.clock.set(shift)
        yield
        stage.clock.set("+0")

    return held


@contextmanager
def connections_are_idle(stage: Stage) -> Iterator[None]:
    host, _, port = stage.bridge.http.rpartition(":")
    with ExitStack() as held:
        for _ in range(_IDLE_CONNECTIONS):
            made = socket.create_connection((host, int(port)), timeout=10)
            held.enter_context(made)
        begun_s = time.monotonic()
        stage.bridge.get("/readyz")
        assert time.monotonic() - begun_s < 4
        yield
