"""The spool's file is removed, moved, replaced or damaged while it is open."""

import itertools
import os
import random
import shutil
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from egiz_bridge import files
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.database_file import DatabaseFile
from egiz_bridge.errors import FileDamaged, Unavailable
from egiz_bridge.spool import Spool

MIB = 1024**2
PARTS = ("", "-wal", "-shm")


def _messages(first, end):
    return [Message(f"t/{n}", b"%d" % n, 1000 + n) for n in range(first, end)]


@pytest.fixture(params=["a file", "a link"])
def place(request, tmp_path):
    """Where the spool is, or a link to it on another disk, say."""
    path = tmp_path / "spool.sqlite"
    if request.param == "a link":
        (tmp_path / "big").mkdir()
        path.symlink_to("big/target.sqlite")
    return path


@pytest.fixture
def spool(place):
    found = Spool(place, MIB)
    found.batches.put("a", _messages(0, 3))
    found.batches.put("b", _messages(0, 2))
    found.dead_letters.add([DeadLetter(_messages(9, 10)[0], "charset", "why")], "a")
    found.notes.write("name", "text")
    yield found
    found.close()


def _part(spool, part):
    return Path(f"{os.path.realpath(spool.quota.path)}{part}")


def _remove(spool, parts):
    for part in parts:
        _part(spool, part).unlink()


def _kept(spool):
    """What another process would find after a crash: all that is at the name."""
    copies = spool.quota.path.parent / "copies"
    copies.mkdir(exist_ok=True)
    for part in PARTS[:2]:
        shutil.copy(_part(spool, part), copies / f"copy.sqlite{part}")
    with closing(Spool(copies / "copy.sqlite", MIB)) as copy:
        counts = copy.batches.counts()
        with copy.quota.transaction() as db:
            letters = db.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
    shutil.rmtree(copies)
    return counts, letters


@pytest.mark.parametrize(
    "parts", [PARTS, ("",), ("-wal",), ("-shm",), ("-wal", "-shm"), ("", "-wal")]
)
def test_what_waits_in_a_removed_file_is_kept_at_its_name(spool, parts):
    _remove(spool, parts)
    spool.batches.put("a", _messages(3, 7))
    assert _kept(spool) == ({"a": 7, "b": 2}, 1)
    assert spool.batches.counts() == {"a": 7, "b": 2}
    assert spool.batches.oldest("a").messages == _messages(0, 3)
    assert spool.notes.read("name") == "text"
    assert spool.incidents.lost == 1
    assert "while the bridge runs" in spool.incidents.recent()


def test_a_copy_that_is_removed_at_once_costs_nothing(spool, monkeypatch):
    """SQLite then makes an empty file at the name, which is not the copy."""
    write_again, removals = DatabaseFile.write_again, iter(range(2))

    def removed_at_once(file):
        made = write_again(file)
        if next(removals, None) is not None:
            file.path.unlink()
        return made

    monkeypatch.setattr(DatabaseFile, "write_again", removed_at_once)
    _remove(spool, ["-wal"])
    spool.batches.put("a", _messages(3, 7))
    assert _kept(spool) == ({"a": 7, "b": 2}, 1)
    assert spool.batches.oldest("a").messages == _messages(0, 3)
    assert spool.incidents.set_aside == 0


def test_each_loss_is_noticed_and_counted(spool):
    for count in range(1, 6):
        _remove(spool, PARTS)
        spool.batches.put("a", _messages(0, 1))
        assert spool.incidents.lost == count
        assert _kept(spool) == ({"a": 3 + count, "b": 2}, 1)


def test_a_loss_is_noticed_without_a_write(spool):
    _remove(spool, PARTS)
    spool.probe()
    assert spool.incidents.lost == 1
    assert _kept(spool) == ({"a": 3, "b": 2}, 1)


@pytest.mark.parametrize("moved", [PARTS, ("",)])
def test_a_moved_file_is_whole_and_the_bridge_goes_on_at_the_name(spool, moved):
    aside = spool.quota.path.with_name("old.sqlite")
    for part in moved:
        _part(spool, part).rename(f"{aside}{part}")
    spool.batches.put("a", _messages(3, 4))
    assert _kept(spool) == ({"a": 4, "b": 2}, 1)
    with closing(Spool(aside, MIB)) as old:
        assert old.batches.counts() == {"a": 3, "b": 2}


def test_what_waits_in_a_file_that_replaces_it_is_counted_as_replayed(spool, tmp_path):
    other = tmp_path / "other.sqlite"
    with closing(Spool(other, MIB)) as restored:
        restored.batches.put("a", _messages(20, 25))
        restored.dead_letters.add([DeadLetter(_messages(9, 10)[0], "charset", "")])
    other.rename(spool.quota.path)
    spool.batches.put("a", _messages(3, 4))
    assert spool.batches.counts() == {"a": 4, "b": 2}
    assert spool.replays.requeue("a") == 5
    assert _kept(spool) == ({"a": 9, "b": 2}, 2)
    assert "was replaced" in spool.incidents.recent()


@pytest.mark.parametrize("parts", [PARTS, ("",), ("-wal",)])
def test_a_batch_that_is_written_while_the_file_vanishes_is_dropped_and_no_other(
    spool, parts
):
    for number in range(3, 9):
        spool.batches.put("a", _messages(number, number + 1))
    spool.batches.drop(spool.batches.oldest("a"))
    spool.batches.drop(spool.batches.oldest("a"))
    written = spool.batches.oldest("a")
    _remove(spool, parts)
    spool.batches.drop(written)
    assert spool.batches.counts() == {"a": 4, "b": 2}
    assert spool.batches.oldest("a").messages == _messages(5, 6)


def test_a_batch_of_a_file_that_was_set_aside_drops_none_of_the_new_one(spool):
    before = spool.quota.bytes_used
    written = spool.batches.oldest("a")
    spool.quota.path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(FileDamaged):
        spool.probe()
    for _ in range(written.id):
        spool.batches.put("a", _messages(0, 3))
    used = spool.quota.bytes_used
    spool.batches.drop(written)
    assert spool.batches.counts() == {"a": 3 * written.id}
    assert spool.quota.bytes_used == used < before
    spool.batches.replace(written, "a", [_messages(0, 1)])
    assert spool.batches.counts() == {"a": 3 * written.id}


def test_the_bounds_hold_after_a_loss(spool):
    before = spool.quota.bytes_used
    _remove(spool, PARTS)
    spool.batches.counts()
    spool.batches.counts()
    assert spool.quota.bytes_used == before


def test_a_file_of_another_program_at_the_name_stores_nothing(spool):
    _remove(spool, PARTS)
    with closing(sqlite3.connect(spool.quota.path)) as db, db:
        db.execute("CREATE TABLE dashboards (id INTEGER)")
    with pytest.raises(Unavailable, match=r"was replaced .*is no spool"):
        spool.batches.put("a", _messages(3, 4))
    _remove(spool, ("",))
    spool.batches.put("a", _messages(3, 4))
    assert _kept(spool) == ({"a": 4, "b": 2}, 1)


def test_nonsense_at_the_name_is_set_aside(spool):
    _remove(spool, PARTS)
    spool.quota.path.write_bytes(b"nonsense" * 1000)
    spool.batches.put("a", _messages(3, 4))
    assert _kept(spool) == ({"a": 4, "b": 2}, 1)
    assert (spool.incidents.lost, spool.incidents.set_aside) == (1, 1)


def test_a_directory_that_is_gone_is_waited_for(tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()
    spool = Spool(directory / "spool.sqlite", MIB)
    spool.batches.put("a", _messages(0, 3))
    directory.rename(tmp_path / "unmounted")
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"removed or moved .*unable to open"):
            spool.batches.put("a", _messages(3, 4))
    directory.mkdir()
    spool.batches.put("a", _messages(3, 4))
    assert _kept(spool) == ({"a": 4}, 0)
    assert spool.incidents.lost == 1
    spool.close()


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
def test_a_file_that_was_overwritten_is_noticed_without_a_write(spool, content):
    spool.quota.path.write_bytes(content)
    with pytest.raises(FileDamaged):
        spool.probe()
    assert spool.incidents.set_aside == 1
    spool.batches.put("a", _messages(3, 4))
    assert _kept(spool) == ({"a": 1}, 0)


def test_a_full_or_read_only_disk_is_noticed_without_a_write(spool, monkeypatch):
    real = os.statvfs(spool.quota.path)
    full = os.statvfs_result((*real[:4], 3, *real[5:]))
    monkeypatch.setattr(files.os, "statvfs", lambda _: full)
    with pytest.raises(Unavailable, match="its disk is full"):
        spool.probe()
    monkeypatch.undo()
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(Unavailable, match="cannot be written"):
        spool.probe()
    monkeypatch.undo()
    spool.probe()


def test_nothing_is_lost_while_the_file_vanishes_under_load(place):
    spool = Spool(place, 64 * MIB)

    def remove():
        rng = random.Random(7)
        for _ in range(60):
            time.sleep(rng.uniform(0.0, 0.05))
            for part in rng.sample(PARTS, rng.randint(1, 3)):
                _part(spool, part).unlink(missing_ok=True)

    thread = threading.Thread(target=remove)
    thread.start()
    stored = []
    for number in itertools.count():
        with suppress(Unavailable):
            spool.batches.put("a", _messages(number, number + 1))
            stored.append(number)
        if not thread.is_alive():
            break
    spool.batches.put("a", _messages(-1, 0))
    found = []
    while (oldest := spool.batches.oldest("a")) is not None:
        found += [int(message.payload) for message in oldest.messages]
        spool.batches.drop(oldest)
    assert spool.incidents.set_aside == 0
    assert spool.incidents.lost > 0
    assert {*stored, -1} <= set(found)
    assert len(found) == len(set(found))
    spool.close()


def test_a_writer_that_is_late_finds_a_closed_spool_closed(tmp_path):
    """A stop waits for its writers no longer than its deadline."""
    spool = Spool(tmp_path / "spool.sqlite", 1024**2)
    spool.close()
    with pytest.raises(Unavailable, match="is closed"):
        spool.batches.put("store", [])
    with pytest.raises(Unavailable, match="is closed"):
        spool.dead_letters.add([], "store")
