import random
import sqlite3

import pytest
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.errors import SpoolFull, Unavailable
from egiz_bridge.spool import Spool

MIB = 1024**2


def _messages(count: int, size: int = 40) -> list[Message]:
    return [Message(f"t/{n}", bytes([n % 256]) * size, 1000 + n) for n in range(count)]


def test_batches_come_back_oldest_first_for_each_sink(tmp_path):
    spool = Spool(tmp_path / "spool.sqlite", MIB)
    first, second, other = _messages(3), _messages(2), _messages(1)
    spool.put("a", first)
    spool.put("b", other)
    spool.put("a", second)
    assert spool.counts() == {"a": 5, "b": 1}
    oldest = spool.oldest("a")
    assert oldest is not None
    assert oldest.messages == first
    spool.drop(oldest)
    following = spool.oldest("a")
    assert following is not None
    assert following.messages == second
    spool.drop(following)
    assert spool.oldest("a") is None
    assert spool.counts() == {"b": 1}
    spool.close()


def test_what_was_put_is_there_after_the_process_died(tmp_path):
    path = tmp_path / "spool.sqlite"
    Spool(path, MIB).put("a", _messages(3))  # never closed
    again = Spool(path, MIB)
    oldest = again.oldest("a")
    assert oldest is not None
    assert oldest.messages == _messages(3)
    again.close()


def test_a_full_spool_refuses_and_has_room_again(tmp_path):
    spool = Spool(tmp_path / "spool.sqlite", MIB)

    rng = random.Random(1)
    incompressible = [Message("t", rng.randbytes(400_000), 1)]
    spool.put("a", incompressible)
    spool.put("a", incompressible)
    with pytest.raises(SpoolFull, match="max_bytes"):
        spool.put("a", incompressible)
    assert spool.counts() == {"a": 2}
    oldest = spool.oldest("a")
    assert oldest is not None
    spool.drop(oldest)
    spool.put("a", incompressible)
    assert spool.counts() == {"a": 2}
    spool.close()


def test_the_bound_holds_over_a_restart(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)

    big = [Message("t", random.Random(2).randbytes(600_000), 1)]
    spool.put("a", big)
    spool.close()
    again = Spool(path, MIB)
    with pytest.raises(SpoolFull):
        again.put("a", big)
    again.close()


def test_dead_letters_are_kept_with_reason_and_bounded(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    spool.bury([DeadLetter(Message("t", b"x" * 10_000, 5), "too_large", "why")])
    letters = [DeadLetter(m, "not_json", "") for m in _messages(300, 4000)]
    spool.bury(letters[:150], "influxdb")
    spool.bury(letters[150:], "influxdb")
    spool.close()
    with sqlite3.connect(path) as db:
        kept, size = db.execute(
            "SELECT count(*), sum(length(payload)) FROM dead_letters"
        ).fetchone()
        newest = db.execute(
            "SELECT topic, reason, sink FROM dead_letters ORDER BY id DESC"
        ).fetchone()
    db.close()
    assert newest == ("t/299", "not_json", "influxdb")
    assert size <= MIB // 10
    assert kept + spool.dead_dropped == 301


def test_a_long_payload_is_cut_but_its_size_is_told(tmp_path):
    path = tmp_path / "spool.sqlite"
    spool = Spool(path, MIB)
    spool.bury([DeadLetter(Message("t", b"x" * 10_000, 5), "too_large", "why")])
    spool.close()
    with sqlite3.connect(path) as db:
        row = db.execute(
            "SELECT reason, detail, length(payload), payload_bytes FROM dead_letters"
        ).fetchone()
    db.close()
    assert row == ("too_large", "why", 4096, 10_000)


def test_a_file_that_is_no_database_is_unavailable_not_overwritten(tmp_path):
    path = tmp_path / "spool.sqlite"
    path.write_bytes(b"precious" * 1000)
    with pytest.raises(Unavailable, match=r"spool\.sqlite"):
        Spool(path, MIB)
    assert path.read_bytes() == b"precious" * 1000
