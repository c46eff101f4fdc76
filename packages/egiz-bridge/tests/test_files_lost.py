"""A bridge that runs while somebody removes, moves or overwrites its files."""

import json
import sqlite3
import time
from contextlib import closing

import pytest
from rig import stored
from rig.publisher import Publisher
from rig.waiting import eventually

BEGIN_S = 1706352600
PARTS = ("", "-wal", "-shm")
TOPIC = "sensors/factory/oven-001/telemetry"
# It is looked for every two seconds; the machine of the tests is busy.
NOTICED_S = 10


@pytest.fixture
def publish(mosquitto):
    """`publish(first, end)`: messages with these numbers, until the broker has them."""
    with Publisher(mosquitto) as publisher:

        def send(first, end):
            for number in range(first, end):
                message = {"device_id": "oven-001", "timestamp": BEGIN_S + number}
                message |= {"thermal": {"setpoint": number + 0.5}}
                publisher.publish(TOPIC, json.dumps(message))

        yield send


def _expected(end):
    return {
        ("telemetry", "oven-001", (BEGIN_S + n) * 1000): {"thermal_setpoint": n + 0.5}
        for n in range(end)
    }


def _part(path, part):
    return path.with_name(path.name + part)


def _problems(running):
    status, body = running.get("/readyz")
    assert status == 503
    return json.loads(body)["problems"]


def _is_balanced(running):
    metrics = running.metrics()
    sinks = [name for name in metrics if name.startswith("sink_unaccounted/")]
    return all(metrics[name] == 0 for name in sinks)


class TestSpool:
    """Of a bridge without its database."""

    @pytest.fixture
    def running(self, mosquitto, influxdb, bridge, publish):
        table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
        made = bridge(mosquitto.url, influxdb=table)
        influxdb.stop()
        made.start()
        publish(0, 5)
        eventually(lambda: made.metrics()["sink_spooled/influxdb"] == 5)
        return made

    def _all_is_stored(self, running, influxdb, end):
        """After a crash, too: so it was in a file with a name."""
        eventually(
            lambda: running.metrics()["messages_acknowledged_total"] == end, timeout=30
        )
        assert running.metrics()["sink_spooled/influxdb"] == end
        assert _is_balanced(running)
        running.kill()
        influxdb.start()
        running.start()
        eventually(lambda: stored.in_influxdb(influxdb) == _expected(end), timeout=60)
        eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 0)
        assert running.metrics()["sink_written_total/influxdb"] == end

    @pytest.mark.parametrize("parts", [PARTS, ("",), ("-wal",), ("-shm",)])
    def test_a_removed_spool_is_noticed_and_nothing_is_lost(
        self, running, influxdb, publish, parts
    ):
        for part in parts:
            _part(running.spool, part).unlink()
        eventually(
            lambda: running.metrics()["files_lost_total/spool"] == 1, timeout=NOTICED_S
        )
        assert any("spool: " in one for one in _problems(running))
        assert "while the bridge runs: what waited in it is kept" in running.log
        publish(5, 10)
        self._all_is_stored(running, influxdb, 10)

    def test_a_spool_removed_before_a_batch_comes_is_no_spool(
        self, running, influxdb, publish
    ):
        for part in PARTS:
            _part(running.spool, part).unlink()
        publish(5, 10)  # sooner than the bridge looks after its file
        self._all_is_stored(running, influxdb, 10)

    def test_a_moved_spool_is_noticed_and_nothing_is_lost(
        self, running, influxdb, publish
    ):
        for part in PARTS:
            _part(running.spool, part).rename(running.directory / f"old.sqlite{part}")
        publish(5, 10)
        self._all_is_stored(running, influxdb, 10)

    def test_a_directory_that_is_gone_causes_backpressure_until_it_is_back(
        self, mosquitto, influxdb, bridge, publish, tmp_path
    ):
        disk = tmp_path / "disk"
        disk.mkdir()
        table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
        spool = {"path": str(disk / "spool.sqlite")}
        running = bridge(mosquitto.url, influxdb=table, spool=spool)
        influxdb.stop()
        running.start()
        publish(0, 5)
        eventually(lambda: running.metrics()["messages_acknowledged_total"] == 5)
        disk.rename(tmp_path / "unmounted")
        eventually(lambda: running.metrics()["spool_up"] == 0, timeout=NOTICED_S)
        publish(5, 10)
        eventually(lambda: running.metrics()["messages_received_total"] == 10)
        time.sleep(1)
        assert running.metrics()["messages_acknowledged_total"] == 5
        assert any("removed or moved" in one for one in _problems(running))
        disk.mkdir()
        eventually(lambda: running.metrics()["spool_up"] == 1, timeout=NOTICED_S)
        self._all_is_stored(running, influxdb, 10)

    def test_an_overwritten_spool_is_noticed_without_a_write(self, running, publish):
        running.spool.write_bytes(b"nonsense" * 1000)
        eventually(
            lambda: running.metrics()["files_set_aside_total/spool"] == 1,
            timeout=NOTICED_S,
        )
        assert any("spool damaged" in one for one in _problems(running))
        publish(5, 10)
        eventually(lambda: running.metrics()["messages_acknowledged_total"] == 10)
        assert _is_balanced(running)


class TestArchive:
    """Of a bridge with an archive; the spool is on the same disk."""

    @pytest.fixture
    def running(self, mosquitto, bridge, publish):
        made = bridge(mosquitto.url, archive={})
        made.start()
        publish(0, 5)
        eventually(lambda: made.metrics()["sink_written_total/archive"] == 5)
        return made

    def _stored(self, running, *archives):
        found = {}
        for archive in archives:
            found |= stored.in_archive(archive)
        return found == _expected(10) and _is_balanced(running)

    @pytest.mark.parametrize("parts", [PARTS, ("",)])
    def test_a_moved_archive_is_noticed_and_a_new_one_begun(
        self, running, publish, parts
    ):
        old = running.directory / "archive-old.sqlite"
        for part in parts:
            _part(running.archive, part).rename(f"{old}{part}")
        eventually(
            lambda: running.metrics()["files_lost_total/archive"] == 1,
            timeout=NOTICED_S,
        )
        assert any("archive: " in one for one in _problems(running))
        assert "archive was removed or moved while the bridge runs" in running.log
        publish(5, 10)
        eventually(lambda: self._stored(running, old, running.archive))
        running.kill()
        assert len(stored.in_archive(running.archive)) == 5

    def test_messages_right_after_the_move_are_in_the_new_one(self, running, publish):
        for part in PARTS:
            _part(running.archive, part).unlink()
        publish(5, 10)
        eventually(lambda: len(stored.in_archive(running.archive)) == 5)
        eventually(lambda: running.metrics()["messages_acknowledged_total"] == 10)
        # They may have waited in the spool, and are counted after they are in the file.
        eventually(lambda: running.metrics()["sink_written_total/archive"] == 10)
        assert _is_balanced(running)

    @pytest.mark.parametrize("content", [b"", b"nonsense" * 1000])
    def test_a_corrupt_archive_is_set_aside_while_the_bridge_runs(
        self, running, publish, content
    ):
        with closing(sqlite3.connect(running.archive)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        running.archive.write_bytes(content)
        eventually(
            lambda: running.metrics()["files_set_aside_total/archive"] == 1,
            timeout=NOTICED_S,
        )
        assert any("archive: " in one for one in _problems(running))
        publish(5, 10)
        eventually(lambda: len(stored.in_archive(running.archive)) == 5)
        eventually(lambda: running.metrics()["messages_acknowledged_total"] == 10)
        assert _is_balanced(running)

    def test_an_archive_that_is_overwritten_is_noticed_while_its_log_has_all(
        self, running, publish
    ):
        """SQLite reads from the log beside it, and sees no damage."""
        running.archive.write_bytes(b"nonsense" * 1000)
        eventually(
            lambda: running.metrics()["files_lost_total/archive"] == 1,
            timeout=NOTICED_S,
        )
        assert any("was overwritten" in one for one in _problems(running))
        publish(5, 10)
        eventually(lambda: self._stored(running, running.archive))
        running.kill()
        assert stored.in_archive(running.archive) == _expected(10)

    def test_a_corrupt_archive_does_not_prevent_the_start(self, running, publish):
        assert running.stop() == 0
        running.archive.write_bytes(b"nonsense" * 1000)
        running.start()
        publish(5, 10)
        eventually(lambda: len(stored.in_archive(running.archive)) == 5)
        assert len(list(running.directory.glob("archive.sqlite.damaged-*"))) == 1
        assert "archive damaged: the file is renamed" in running.log
