"""QuestDB, with tables that keep a row once, and without."""

import pytest
from rig.messages import message
from rig.publisher import Publisher
from rig.waiting import eventually

from engines.conservation import is_conserved
from engines.databases import KINDS, QuestDb, in_questdb

ACCOUNT = "bridge:s3cret-w0rd"
# A column that the bridge writes is added by QuestDB.
TABLE = """create table {kind} (timestamp timestamp, facility symbol, device_id symbol,
device_type symbol) timestamp(timestamp) partition by day wal
dedup upsert keys(timestamp, facility, device_id)"""


@pytest.fixture
def database(tmp_path, started):
    return started(QuestDb(tmp_path / "questdb", ACCOUNT))


@pytest.fixture
def table(tmp_path, database):
    """The [influxdb] table of a bridge."""
    token_file = tmp_path / "token"
    token_file.write_text(ACCOUNT)
    same = {"api": "v1", "database": "factory", "token_file": str(token_file)}
    return {"url": database.url, **same}


def test_the_database_and_the_bridge_are_killed(
    mosquitto, database, table, bridge, fleet
):
    for kind in KINDS:
        database.query(TABLE.format(kind=kind))
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    published = fleet(mosquitto.url)
    published.until(5)
    database.kill()
    published.until(7)
    database.start()
    published.until(13)
    running.kill()
    running.start()
    published.until(16)
    database.kill()
    database.start()
    is_conserved("QuestDB", published, running, lambda: in_questdb(database))


@pytest.mark.parametrize(("is_there_before", "rows"), [(True, 1), (False, 2)])
def test_a_message_that_comes_twice_is_kept_once_if_the_table_says_so(
    tmp_path, mosquitto, started, bridge, is_there_before, rows
):
    """As InfluxDB 2, without accounts; a table that it makes itself keeps repeats."""
    database = started(QuestDb(tmp_path / "questdb"))
    if is_there_before:
        database.query(TABLE.format(kind="telemetry"))
    running = bridge(mosquitto.url, influxdb={"url": database.url, "bucket": "b"})
    running.start()
    with Publisher(mosquitto) as publisher:
        for _ in range(2):
            publisher.publish(*message("oven-1", 1_790_000_000_123, 7))
    written = "sink_written_total/influxdb"
    eventually(lambda: running.metrics()[written] == 2)
    count = "select count() as rows from telemetry"
    eventually(lambda: database.query(count) == [{"rows": rows}])


def test_a_password_that_it_does_not_know_is_held(
    mosquitto, database, table, bridge, tmp_path
):
    (tmp_path / "token").write_text("bridge:wr0ng")
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    with Publisher(mosquitto) as publisher:
        publisher.publish(*message("oven-1", 1_790_000_000_123, 7))
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 1)
    assert running.metrics()["sink_dead_total/influxdb"] == 0
    assert running.get("/readyz")[0] == 503
    assert "wr0ng" not in running.log
    (tmp_path / "token").write_text(ACCOUNT)
    eventually(lambda: running.metrics()["sink_written_total/influxdb"] == 1)
    eventually(lambda: len(in_questdb(database, ["telemetry"])) == 1)
