import random
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.errors import FileDamaged, SpoolFull, Unavailable
from egiz_bridge.spool import Spool, age
from egiz_bridge.spool.dead_letters import Selection, purge, reasons

MIB = 1024**2


def _messages(count: int, size: int = 40) -> list[Message]:
    return [Message(f"t/{n}", bytes([n % 256]) * size, 1000 + n) for n in range(count)]


def test_batches_come_back_oldest_first_for_each_sink(tmp_path):
    spool = Spool(tmp_path / "spool.sqlite", MIB)
    first, second, other = _messages(3), _messages(2), _messages(1)
    spool.batches.put("a", first)
    spool.batches.put("b", other)
    spool.batches.put("a", second)
    assert spool.batches.counts() == {"a": 5, "b": 1}
    oldest = spool.batches.oldest("a")
    assert oldest is not None
    assert oldest.messages == first
    spool.batches.drop(oldest)
    following = spool.batches.oldest("a")
    assert following is not None
    assert following.messages == second
    spool.batches.drop(following)
    assert spool.batches.oldest("a") is None
    assert spool.batches.counts() == {"b": 1}
    spool.close()


def test_what_was_put_is_there_after_the_process_died(tmp_path):
    path = tmp_path / "spool.sqlite"
    before = Spool(path, MIB)  # not closed until the other has read it
    before.batches.put("a", _messages(3))
    again = Spool(path, MIB)
    oldest = again.batches.oldest("a")
    assert oldest is not None
    assert oldest.messages == _messages(3)
    again.close()
    before.close()


def test_a_full_spool_refuses_and_has_room_again(tmp_path):
    spool = Spool(tmp_path / "spool.sqlite", MIB)

    rng = random.Random(1)
    incompressible = [Message("t", rng.randbytes(400_000), 1)]
    spool.batches.put("a", incompressible)
    spool.batches.put("a", incompressible)
    with pytest.raises(SpoolFull, match="max_bytes"):
        spool.batches.put("a", incompressible)
    assert spool.batches.counts() == {"a": 2}
    oldest = spool.batches.oldest("a")
    assert oldest is not None
    spool.batches.drop(oldest)
    spool.batches.put("a", incompressible)
    assert spool.batches.counts() == {"a": 2}
    spool.close()


def test_the_bound_holds_over_a_restart(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)

    big = [Message("t", random.Random(2).randbytes(600_000), 1)]
    spool.batches.put("a", big)
    spool.close()
    again = Spool(path, MIB)
    with pytest.raises(SpoolFull):
        again.batches.put("a", big)
    again.close()


def test_dead_letters_are_kept_with_reason_and_bounded(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    spool.dead_letters.add(
        [DeadLetter(Message("t", b"x" * 10_000, 5), "too_large", "why")]
    )
    letters = [DeadLetter(m, "not_json", "") for m in _messages(300, 4000)]
    spool.dead_letters.add(letters[:150], "influxdb")
    spool.dead_letters.add(letters[150:], "influxdb")
    spool.close()
    with closing(sqlite3.connect(path)) as db, db:
        kept, size = db.execute(
            "SELECT count(*), sum(length(payload)) FROM dead_letters"
        ).fetchone()
        newest = db.execute(
            "SELECT topic, reason, sink FROM dead_letters ORDER BY id DESC"
        ).fetchone()
    db.close()
    assert newest == ("t/299", "not_json", "influxdb")
    assert size <= MIB // 10
    assert kept + spool.dead_letters.dropped == 301


def test_a_long_payload_is_cut_and_its_size_kept(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    spool.dead_letters.add(
        [DeadLetter(Message("t", b"x" * 10_000, 5), "too_large", "why")]
    )
    spool.close()
    with closing(sqlite3.connect(path)) as db, db:
        row = db.execute(
            "SELECT reason, detail, length(payload), payload_bytes FROM dead_letters"
        ).fetchone()
    db.close()
    assert row == ("too_large", "why", 4096, 10_000)


def test_a_file_that_is_no_database_is_set_aside_and_a_new_one_begun(tmp_path):
    path = tmp_path / "spool.sqlite"
    path.write_bytes(b"precious" * 1000)
    spool = Spool(path, MIB)
    assert spool.incidents.set_aside == 1
    spool.batches.put("a", _messages(3))
    assert spool.batches.counts() == {"a": 3}
    (aside,) = tmp_path.glob("spool.sqlite.damaged-*")
    assert aside.read_bytes() == b"precious" * 1000
    spool.close()


def test_a_file_that_is_damaged_while_it_is_used_is_set_aside(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    for _ in range(50):
        spool.batches.put("a", [Message("t", random.randbytes(2000), 1)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with path.open("r+b") as file:  # every page but the first, which has the schema
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(FileDamaged, match="set aside"):
        spool.batches.oldest("a")
    assert spool.batches.oldest("a") is None
    spool.batches.put("a", _messages(3))
    assert spool.batches.counts() == {"a": 3}
    assert spool.incidents.set_aside == 1
    spool.close()


def test_an_unreadable_batch_moves_to_the_table_damaged(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    spool.batches.put("a", _messages(5))
    spool.batches.put("a", _messages(2))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE batches SET body = zeroblob(bytes) WHERE id = 1")
    db.close()
    oldest = spool.batches.oldest("a")
    assert oldest is not None
    assert oldest.messages == _messages(2)
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("SELECT sink, messages FROM damaged").fetchall() == [("a", 5)]
    db.close()
    spool.close()


@pytest.fixture
def monotonic(monkeypatch):
    """`monotonic(days)` lets time pass."""
    passed = [1000.0]
    monkeypatch.setattr(age.time, "monotonic", lambda: passed[0])

    def let_pass(days):
        passed[0] += days * 86_400

    return let_pass


def test_what_has_waited_for_too_long_is_dropped_and_counted(tmp_path, monotonic):
    spool = Spool(tmp_path / "spool.sqlite", MIB, max_age_days=2)
    spool.batches.put("a", _messages(3))
    spool.batches.put("b", _messages(3))
    monotonic(days=1.99)
    spool.batches.put("a", _messages(1))
    assert spool.batches.expire("a") == 0
    monotonic(days=0.02)
    assert spool.batches.expire("a") == 3
    assert spool.batches.expire("a") == 0
    assert spool.batches.counts() == {"a": 1, "b": 3}
    spool.close()


@pytest.mark.parametrize("days", [31, -31, 20_000, -20_000])
def test_no_reading_of_the_wall_clock_drops_anything(
    tmp_path, monkeypatch, monotonic, days
):
    """It is wrong for a while, over a start as well, and right again."""
    path = tmp_path / "spool.sqlite"
    real = time.time_ns
    for shift in (0, days, 0, days):
        monkeypatch.setattr(
            time, "time_ns", lambda shift=shift: real() + shift * 86_400 * 10**9
        )
        spool = Spool(path, MIB, max_age_days=30)
        received_ms = time.time_ns() // 10**6
        spool.batches.put("a", [Message("t", b"x", received_ms)])
        monotonic(days=1)
        assert spool.batches.expire("a") == 0
        spool.close()
    assert spool_counts(path) == {"a": 4}


def spool_counts(path):
    with closing(Spool(path, MIB)) as spool:
        return spool.batches.counts()


def test_ages_go_on_after_a_restart(tmp_path, monotonic):
    path = tmp_path / "spool.sqlite"
    with closing(Spool(path, MIB, max_age_days=30)) as spool:
        spool.batches.put("a", _messages(3))
    for _ in range(3):
        with closing(Spool(path, MIB, max_age_days=30)) as spool:
            assert spool.batches.expire("a") == 0
            monotonic(days=9.99)
            assert spool.batches.expire("a") == 0
    with closing(Spool(path, MIB, max_age_days=30)) as spool:
        monotonic(days=0.1)
        assert spool.batches.expire("a") == 3


def test_without_a_limit_nothing_is_too_old(tmp_path):
    spool = Spool(tmp_path / "spool.sqlite", MIB)
    spool.batches.put("a", [Message("t", b"x", 1)])
    assert spool.batches.expire("a") == 0
    spool.close()


def test_what_an_operator_purged_makes_room(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    payload = random.Random(1).randbytes(3000)
    letters = [DeadLetter(Message("t", payload, 5), "charset", "why")] * 30
    spool.dead_letters.add(letters)
    filler = [Message("t", random.Random(2).randbytes(940_000), 1)]
    with pytest.raises(SpoolFull):
        spool.batches.put(
            "a", [*filler, Message("t", random.Random(3).randbytes(50000), 1)]
        )
    assert purge(path, Selection(is_all=True)) == 30
    spool.batches.put("a", filler)
    spool.close()


def test_letters_count_as_dropped_once_that_is_on_the_disk(tmp_path):
    """A disk that is full at the commit keeps the old ones."""
    spool = Spool(tmp_path / "spool.sqlite", MIB)
    letters = [DeadLetter(m, "r", "d") for m in _messages(20, size=2000)]
    for _ in range(4):
        spool.dead_letters.add(letters)
    dropped, kept = spool.dead_letters.dropped, reasons(spool.quota.path)
    assert dropped + kept[0][2] == 80
    transaction = spool.quota.transaction

    @contextmanager
    def is_full():
        with transaction() as db:
            yield db
            raise Unavailable("database or disk is full")

    spool.quota.transaction = is_full
    for _ in range(3):
        with pytest.raises(Unavailable):
            spool.dead_letters.add(letters)
    assert (spool.dead_letters.dropped, reasons(spool.quota.path)) == (dropped, kept)
    spool.quota.transaction = transaction
    spool.dead_letters.add(letters)
    left = reasons(spool.quota.path)[0][2]
    assert spool.dead_letters.dropped + left == 100
    spool.close()


def test_a_batch_that_is_set_aside_takes_no_room(tmp_path):
    spool = Spool(tmp_path / "spool.sqlite", MIB)
    spool.batches.put("a", [Message("t", random.Random(3).randbytes(100_000), 1)])
    with closing(sqlite3.connect(spool.quota.path)) as db, db:
        db.execute("UPDATE batches SET body = x'00ff'")
    assert spool.quota.bytes_used > 100_000
    assert spool.batches.oldest("a") is None
    assert spool.quota.bytes_used == 0
    spool.batches.put("a", _messages(1))
    used = spool.quota.bytes_used
    spool.close()
    with closing(Spool(tmp_path / "spool.sqlite", MIB)) as again:
        again.batches.counts()
        assert again.quota.bytes_used == used
