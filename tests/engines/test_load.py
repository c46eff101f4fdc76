"""`egiz-sim load` as far as InfluxDB 2, which is asked by its query API."""

import json

import pytest

from engines.influxdb import ORG, InfluxDb2


@pytest.fixture
def database(tmp_path, started):
    return started(InfluxDb2(tmp_path / "influxdb"))


def test_each_message_is_found_in_influxdb_2(
    launch, mosquitto, bridge, database, tmp_path, monkeypatch
):
    running = bridge(mosquitto.url, influxdb=database.table)
    running.start()
    monkeypatch.setenv("EGIZ_SIM_DATABASE_SECRET", database.read_token.read_text())
    url = f"influxdb2://{database.host}:{database.port}/{ORG}/{database.database}"
    ledger = tmp_path / "ledger.json"
    load = launch(
        *("egiz-sim", "load", "--broker", mosquitto.url, "--database", url),
        *("--rate", "200", "--seconds", "2", "--max-lag", "60000"),
        *("--report", str(ledger)),
    )
    assert load.wait() == 0, load.output()
    found = json.loads(ledger.read_text())["database"]
    assert (found["found"], found["lost"], found["duplicated"]) == (400, 0, 0)
    rows = database.query('SELECT "seq" FROM telemetry GROUP BY *')
    assert len(rows) == 400


def test_a_token_that_may_not_read_is_a_reason(
    launch, mosquitto, database, monkeypatch
):
    token = database.write_token.read_text()
    monkeypatch.setenv("EGIZ_SIM_DATABASE_SECRET", token)
    url = f"influxdb2://{database.host}:{database.port}/{ORG}/{database.database}"
    load = launch(
        *("egiz-sim", "load", "--broker", mosquitto.url, "--database", url),
        *("--rate", "10", "--seconds", "1"),
    )
    assert load.wait() == 1
    assert "the database cannot be read" in load.output()
    assert token.strip() not in load.output()
    assert "Traceback" not in load.output()
