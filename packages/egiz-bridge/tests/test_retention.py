"""What the archive deletes, and by which clock."""

import sqlite3
from contextlib import closing

import pytest
from egiz_bridge.batch import Message
from egiz_bridge.confirmed_clock import ConfirmedClock
from egiz_bridge.errors import FileReplaced
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks import retention
from egiz_bridge.sinks.archive import ArchiveSink
from structlog.testing import capture_logs

DAY_S = 86_400
NOW_S = 1_790_000_000


class Clocks:
    """A wall clock that may jump, and a monotonic one that does not."""

    def __init__(self):
        self.wall_s = float(NOW_S)
        self.monotonic_s = 100.0

    def wall_ms(self):
        return int(self.wall_s * 1000)

    def pass_s(self, seconds):
        self.wall_s += seconds
        self.monotonic_s += seconds


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def confirmed(clocks):
    return ConfirmedClock(clocks.wall_ms(), clocks.wall_ms, lambda: clocks.monotonic_s)


def test_time_passes_as_on_the_wall(clocks, confirmed):
    for seconds in (0, 1, 3600, 40 * DAY_S):
        clocks.pass_s(seconds)
        assert confirmed.now_ms() == clocks.wall_ms()


@pytest.mark.parametrize("jump_s", [2 * 3600, 31 * DAY_S, 70 * 365 * DAY_S])
def test_a_jump_ahead_is_followed_after_a_day_and_logged(clocks, confirmed, jump_s):
    clocks.wall_s += jump_s
    with capture_logs() as logs:
        assert confirmed.now_ms() == NOW_S * 1000
        clocks.pass_s(DAY_S - 1)
        assert confirmed.now_ms() == (NOW_S + DAY_S - 1) * 1000
        clocks.pass_s(1)
        assert confirmed.now_ms() == clocks.wall_ms()
    assert ["waits" in one["event"] for one in logs] == [True, False]


def test_a_jump_that_is_taken_back_changes_nothing(clocks, confirmed):
    for _ in range(3):
        clocks.wall_s += 31 * DAY_S
        confirmed.now_ms()
        clocks.pass_s(4)
        clocks.wall_s -= 31 * DAY_S
        clocks.pass_s(DAY_S)
        assert confirmed.now_ms() == clocks.wall_ms()


def test_jumps_that_differ_do_not_confirm_each_other(clocks, confirmed):
    for _ in range(20):
        clocks.wall_s += 31 * DAY_S
        clocks.pass_s(6 * 3600)
        known_ms = confirmed.now_ms()
    assert known_ms == (NOW_S + 20 * 6 * 3600) * 1000


def test_a_jump_back_is_followed_at_once(clocks, confirmed):
    clocks.wall_s -= 400 * DAY_S
    assert confirmed.now_ms() == clocks.wall_ms()


def _row(unit, received_s):
    device = f"oven-{unit:03}"
    payload = f'{{"device_id":"{device}","timestamp":{NOW_S - unit}'
    payload += ',"thermal":{"setpoint":190}}'
    topic = f"sensors/factory/{device}/telemetry"
    return to_row(Message(topic, payload.encode(), int(received_s * 1000)))


@pytest.fixture
def archive(tmp_path, clocks, monkeypatch):
    """`archive()` opens it, by these clocks."""

    def clock(last_ms):
        return ConfirmedClock(last_ms, clocks.wall_ms, lambda: clocks.monotonic_s)

    monkeypatch.setattr(retention, "ConfirmedClock", clock)
    monkeypatch.setattr(retention, "wall_ms", clocks.wall_ms)
    monkeypatch.setattr(retention.time, "monotonic", lambda: clocks.monotonic_s)
    opened = []

    def begin(days=30):
        opened.append(ArchiveSink(tmp_path / "a.sqlite", days))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def _units(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        rows = db.execute("SELECT device_id FROM telemetry ORDER BY device_id")
        return [int(name.removeprefix("oven-")) for (name,) in rows]


def test_the_clock_is_a_month_ahead_at_the_start_and_nothing_is_deleted(
    archive, clocks, tmp_path
):
    first = archive()
    first.write([_row(n, clocks.wall_s - n * DAY_S) for n in range(10)])
    first.close()
    clocks.wall_s += 31 * DAY_S
    for unit in range(10, 13):  # however often it is started again
        again = archive()
        again.write([_row(unit, clocks.wall_s)])
        clocks.pass_s(700)
        again.maintain()
        again.close()
    assert _units(tmp_path) == list(range(13))


def test_an_archive_of_an_earlier_bridge_is_as_safe(archive, clocks, tmp_path):
    first = archive()
    first.write([_row(n, clocks.wall_s - n * DAY_S) for n in range(10)])
    first.close()
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db, db:
        db.execute("DROP TABLE retention")
        db.execute("DROP INDEX telemetry_received")
    clocks.wall_s += 31 * DAY_S
    archive().maintain()
    assert _units(tmp_path) == list(range(10))


def test_the_clock_jumps_for_four_seconds_and_nothing_is_deleted(
    archive, clocks, tmp_path
):
    running = archive()
    running.write([_row(n, clocks.wall_s - n * DAY_S) for n in range(10)])
    clocks.pass_s(700)
    clocks.wall_s += 31 * DAY_S
    running.write([_row(10, clocks.wall_s)])
    running.maintain()
    clocks.pass_s(4)
    clocks.wall_s -= 31 * DAY_S
    clocks.pass_s(700)
    running.maintain()
    assert _units(tmp_path) == list(range(11))


def test_the_oldest_rows_are_found_wherever_they_stand(
    archive, clocks, tmp_path, monkeypatch
):
    monkeypatch.setattr(retention, "_ROWS", 7)
    running = archive()
    old, new = clocks.wall_s - 31 * DAY_S, clocks.wall_s
    running.write([_row(0, new), *[_row(n, old) for n in range(1, 31)], _row(31, new)])
    with capture_logs() as logs:
        for _ in range(6):
            running.maintain()
    assert _units(tmp_path) == [0, 31]
    (line,) = [one for one in logs if "archive retention" in one["event"]]
    assert line["rows"] == 30
    assert line["before"].endswith("Z")


def test_each_step_deletes_few_rows(archive, clocks, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "_ROWS", 7)
    running = archive()
    running.write([_row(n, clocks.wall_s - 31 * DAY_S) for n in range(30)])
    left = [len(_units(tmp_path))]
    for _ in range(4):
        running.maintain()
        left.append(len(_units(tmp_path)))
    assert left == [23, 16, 9, 2, 0]


def test_kinds_that_are_not_written_any_more_are_deleted_too(archive, clocks, tmp_path):
    first = archive(days=0)
    first.write([_row(1, clocks.wall_s)])
    first.close()
    clocks.pass_s(20 * DAY_S)
    later = archive()
    later.maintain()
    clocks.pass_s(11 * DAY_S)
    later.maintain()
    assert _units(tmp_path) == []


def test_the_archive_is_read_by_index(archive, clocks, tmp_path):
    archive().write([_row(1, clocks.wall_s)])
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        query = retention.delete("telemetry", 7, "received_ms")
        explained = db.execute(f"EXPLAIN QUERY PLAN {query}", {"oldest_ms": 0})
        plan = str(explained.fetchall())
    assert "telemetry_received (received_ms<?)" in plan


def test_a_large_archive_of_an_earlier_bridge_starts_at_once(
    archive, clocks, tmp_path, monkeypatch
):
    """An index on many rows takes minutes, in which no message would be stored."""
    first = archive()
    old = clocks.wall_s - 31 * DAY_S
    first.write([_row(n, old) for n in range(20)] + [_row(20, clocks.wall_s)])
    first.close()
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db, db:
        db.execute("DROP INDEX telemetry_received")
    monkeypatch.setattr(retention, "_INDEXED_MAX", 10)
    monkeypatch.setattr(retention, "_ROWS", 7)
    with capture_logs() as logs:
        again = archive()
        for _ in range(4):
            again.maintain()
    assert _units(tmp_path) == [20]
    (line,) = [one for one in logs if "next_step" in one]
    assert line["next_step"].startswith('CREATE INDEX "telemetry_received"')


PARTS = ("", "-wal", "-shm")


@pytest.mark.parametrize("parts", [PARTS, ("",), ("-wal",), ("-shm",), ("", "-wal")])
def test_nothing_counts_as_written_into_a_file_without_a_name(tmp_path, parts):
    path = tmp_path / "a.sqlite"
    sink = ArchiveSink(path, 0)
    sink.write([_row(1, NOW_S)])
    for part in parts:
        path.with_name(path.name + part).unlink()
    with pytest.raises(FileReplaced, match="while the bridge runs") as caught:
        sink.write([_row(2, NOW_S)])
    assert not caught.value.is_damaged
    sink.write([_row(2, NOW_S)])
    assert _units(tmp_path) == ([2] if "" in parts else [1, 2])
    sink.close()


def test_a_moved_archive_is_whole(tmp_path):
    path = tmp_path / "b.sqlite"
    sink = ArchiveSink(path, 0)
    sink.write([_row(n, NOW_S) for n in range(5)])
    path.rename(tmp_path / "a.sqlite")
    with pytest.raises(FileReplaced, match="was removed or moved"):
        sink.maintain()
    assert _units(tmp_path) == list(range(5))
    sink.write([_row(7, NOW_S)])
    assert path.exists()
    sink.close()
    assert _units(tmp_path) == list(range(5))


def test_a_file_that_replaces_the_archive_is_gone_on_with(tmp_path):
    path, other = tmp_path / "a.sqlite", tmp_path / "other.sqlite"
    with closing(ArchiveSink(other, 0)) as sink:
        sink.write([_row(1, NOW_S)])
    sink = ArchiveSink(path, 0)
    sink.write([_row(2, NOW_S)])
    other.rename(path)
    with pytest.raises(FileReplaced, match="was replaced by another one"):
        sink.write([_row(3, NOW_S)])
    sink.write([_row(3, NOW_S)])
    assert _units(tmp_path) == [1, 3]
    sink.close()


@pytest.mark.parametrize("begin", [0, 4096])
def test_a_corrupt_archive_is_set_aside_and_a_new_one_begun(tmp_path, begin):
    path = tmp_path / "a.sqlite"
    with closing(ArchiveSink(path, 0)) as sink:
        sink.write([_row(n, NOW_S) for n in range(500)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xff" * (size - begin))
    sink = ArchiveSink(path, 0)
    with pytest.raises(FileReplaced, match="a new one is begun") as caught:
        sink.maintain()
    assert caught.value.is_damaged
    sink.write([_row(7, NOW_S)])
    assert _units(tmp_path) == [7]
    (aside,) = tmp_path.glob("a.sqlite.damaged-*")
    assert aside.stat().st_size == size
    sink.close()


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
@pytest.mark.parametrize("call", ["maintain", "write"])
def test_an_archive_that_is_overwritten_while_it_is_open_is_noticed(
    tmp_path, content, call
):
    path = tmp_path / "a.sqlite"
    sink = ArchiveSink(path, 0)
    sink.write([_row(1, NOW_S)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(content)
    with pytest.raises(FileReplaced) as caught:  # noqa: PT012  # either may see it
        if call == "write":
            sink.write([_row(2, NOW_S)])
        sink.maintain()
    assert caught.value.is_damaged
    sink.write([_row(7, NOW_S)])
    assert _units(tmp_path) == [7]
    sink.close()


def test_an_archive_with_a_truncated_log_is_set_aside(tmp_path):
    path = tmp_path / "a.sqlite"
    sink = ArchiveSink(path, 0)
    sink.write([_row(n, NOW_S) for n in range(500)])
    path.with_name("a.sqlite-wal").write_bytes(b"")
    with pytest.raises(FileReplaced) as caught:  # noqa: PT012  # either may see it
        sink.write([_row(n, NOW_S) for n in range(500, 1000)])
        sink.maintain()
    assert caught.value.is_damaged
    sink.write([_row(7, NOW_S)])
    assert _units(tmp_path) == [7]
    sink.close()
