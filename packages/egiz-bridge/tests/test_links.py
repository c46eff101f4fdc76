"""A spool or an archive behind a link: how most people put it on a bigger disk."""

import os
import sqlite3
from contextlib import closing

import pytest
from egiz_bridge import files
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import FileReplaced, Unavailable
from egiz_bridge.files import probe_sqlite, probe_writable
from egiz_bridge.sinks.archive import ArchiveSink
from egiz_bridge.spool import Spool, access, orphans

MIB = 1024**2
NONSENSE = b"nonsense" * 1000
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}'


def _messages(count):
    return [Message(f"t/{n}", b"%d" % n, 1000 + n) for n in range(count)]


def _row(number):
    topic = "sensors/factory/oven-001/telemetry"
    payload = PAYLOAD % (1706352600 + number)
    return Row(Message(topic, payload, 1706352600_000), b"")


@pytest.fixture
def disks(tmp_path):
    """Directories `small`, with links, and `big`, with the files."""
    for name in ("small", "big"):
        (tmp_path / name).mkdir()
    return tmp_path / "small", tmp_path / "big"


@pytest.fixture
def link(disks):
    """A link to a file that is not there yet."""
    small, big = disks
    path = small / "spool.sqlite"
    path.symlink_to(os.path.relpath(big / "target.sqlite", small))
    return path


def _names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_the_file_is_made_where_the_link_leads(link, disks):
    small, big = disks
    with closing(Spool(link, MIB)) as spool:
        spool.batches.put("a", _messages(3))
        parts = ["", "-shm", "-wal"]
        assert _names(big) == [f"target.sqlite{part}" for part in parts]
        spool.probe()
        assert spool.incidents.lost == 0
    assert _names(small) == ["spool.sqlite"]


def test_a_directory_that_is_a_link_is_one_of_any_kind(tmp_path, disks):
    _, big = disks
    (tmp_path / "data").symlink_to("big")
    with closing(Spool(tmp_path / "data" / "spool.sqlite", MIB)) as spool:
        spool.batches.put("a", _messages(3))
        (big / "spool.sqlite-wal").unlink()
        spool.probe()
        assert "lost spool.sqlite-wal" in spool.incidents.recent()
        assert spool.batches.counts() == {"a": 3}
    assert _names(big) == ["spool.sqlite"]


def test_a_damaged_spool_is_set_aside_on_its_own_disk(link, disks):
    small, big = disks
    (big / "target.sqlite").write_bytes(NONSENSE)
    with closing(Spool(link, MIB)) as spool:
        spool.batches.put("a", _messages(3))
        assert str(big / "target.sqlite.damaged-") in spool.incidents.recent()
    (aside,) = big.glob("target.sqlite.damaged-*")
    assert aside.read_bytes() == NONSENSE
    assert (_names(small), link.is_symlink()) == (["spool.sqlite"], True)
    with closing(sqlite3.connect(big / "target.sqlite")) as db:
        assert db.execute("SELECT messages FROM batches").fetchall() == [(3,)]


def test_a_spool_that_lost_its_log_stays_on_its_disk(link, disks):
    small, big = disks
    with closing(Spool(link, MIB)) as spool:
        spool.batches.put("a", _messages(3))
        (big / "target.sqlite-wal").unlink()
        spool.probe()
        assert "lost target.sqlite-wal" in spool.incidents.recent()
    assert (_names(small), link.is_symlink()) == (["spool.sqlite"], True)
    assert _names(big) == ["target.sqlite"]


def test_a_link_that_is_led_elsewhere_takes_along_what_waits(link, disks):
    """Also of the same file by another name: beside that, SQLite looks for a log."""
    _, big = disks
    with closing(Spool(link, MIB)) as spool:
        spool.batches.put("a", _messages(3))
        os.link(big / "target.sqlite", big / "other.sqlite")
        link.unlink()
        link.symlink_to(big / "other.sqlite")
        spool.probe()
        assert spool.incidents.lost == 1
        with closing(sqlite3.connect(big / "other.sqlite")) as db:
            assert db.execute("SELECT messages FROM batches").fetchall() == [(3,)]


def _archived(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT count(*) FROM telemetry").fetchone()[0]


def test_an_archive_that_lost_its_log_is_noticed(link, disks):
    _, big = disks
    with closing(ArchiveSink(link, 0)) as archive:
        archive.write([_row(1)])
        (big / "target.sqlite-wal").unlink()
        with pytest.raises(FileReplaced, match=r"lost target\.sqlite-wal"):
            archive.write([_row(2)])
        archive.write([_row(2)])
    assert link.is_symlink()
    assert _archived(big / "target.sqlite") == 2


def test_a_damaged_archive_is_set_aside_on_its_own_disk(link, disks):
    small, big = disks
    (big / "target.sqlite").write_bytes(NONSENSE)
    with closing(ArchiveSink(link, 0)) as archive:
        with pytest.raises(FileReplaced, match=str(big / "target.sqlite.damaged-")):
            archive.write([_row(1)])
        archive.write([_row(1)])
    assert (_names(small), link.is_symlink()) == (["spool.sqlite"], True)
    assert _archived(big / "target.sqlite") == 1


@pytest.mark.parametrize("opened", ["spool", "archive", "check", "file"])
@pytest.mark.parametrize("target", ["spool.sqlite", "../none/target.sqlite"])
def test_a_link_that_leads_nowhere_is_a_sentence(disks, opened, target):
    link = disks[0] / "spool.sqlite"
    link.symlink_to(target)
    with pytest.raises(Unavailable, match=r"unable to open|links|no directory .*/none"):
        {
            "spool": lambda: Spool(link, MIB),
            "archive": lambda: ArchiveSink(link, 0).write([_row(1)]),
            "check": lambda: access.probe(link),
            "file": lambda: probe_writable(link),
        }[opened]()


@pytest.mark.parametrize("is_there", [False, True])
def test_the_disk_that_is_asked_is_that_of_the_file(link, disks, monkeypatch, is_there):
    _, big = disks
    if is_there:
        Spool(link, MIB).close()
    real = os.statvfs(big)
    full = os.statvfs_result((*real[:4], 3, *real[5:]))

    def of_disk(path):
        is_big = os.path.realpath(path).startswith(str(big))
        return full if is_big else real

    monkeypatch.setattr(files.os, "statvfs", of_disk)
    with pytest.raises(Unavailable, match="its disk is full"):
        probe_sqlite(link)


def test_a_spool_that_a_link_leads_to_is_in_use(disks):
    """`spool status` would say: rm it."""
    small, _ = disks
    path, target = small / "spool.sqlite", small / "spool-1.sqlite"
    path.symlink_to(target)
    Spool(path, MIB).close()
    assert orphans.files_beside(path, [path]) == []


def test_of_a_spool_that_is_adopted_only_the_link_stays(disks):
    small, big = disks
    path, other = small / "spool.sqlite", small / "spool-1.sqlite"
    other.symlink_to(big / "target.sqlite")
    Spool(path, MIB).close()
    with closing(Spool(other, MIB)) as spool:
        spool.batches.put("a", _messages(3))
    assert orphans.adopt_file(path, other) == (3, 0)
    assert _names(big) == []
    assert orphans.files_beside(path, [path]) == []
    assert _names(big) == []
