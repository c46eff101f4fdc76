"""`egiz-sim load`, as a person types it: every message is accounted for."""

import asyncio
import contextlib
import json
import sqlite3
import sys
from pathlib import Path

import pytest
from egiz_infra.authority import Subject
from egiz_sim.broker import Broker, TlsFiles
from egiz_sim.load.link import connect
from egiz_sim.machines import fleet
from egiz_sim.mqtt import Publisher
from rig.process import Process, free_port
from rig.root_name import know_localhost_with_root
from rig.waiting import eventually

_SABOTAGED = Path(__file__).parent / "sabotaged_bridge.py"


@pytest.fixture
def load(launch, mosquitto, tmp_path):
    """Start a load: `load("--rate", "100")`; `load.report()` reads its ledger."""

    def start(*arguments, broker=None):
        command = ("load", "--broker", broker or mosquitto.url)
        report = ("--report", str(tmp_path / "ledger.json"))
        return launch("egiz-sim", *command, *report, *arguments)

    start.report = lambda: json.loads((tmp_path / "ledger.json").read_text())
    return start


@pytest.fixture
def archiving(mosquitto, bridge):
    """A bridge with the archive, started."""
    made = bridge(mosquitto.url, archive={})
    made.start()
    return made


def _checks(report):
    return {check["name"]: check["result"] for check in report["checks"]}


def _watch(bridge):
    return ("--archive", str(bridge.archive), "--bridge", f"http://{bridge.http}")


def _rows(bridge):
    """(device id, boot, seq) of each row: not by what the load itself reads."""
    with contextlib.closing(sqlite3.connect(bridge.archive)) as db:
        return db.execute("SELECT device_id, boot, seq FROM telemetry").fetchall()


@pytest.fixture
def sabotaged(mosquitto, bridge):
    """Run a bridge with a fault: `sabotaged("drops")`."""

    def start(fault):
        made = bridge(mosquitto.url, archive={})
        command = [sys.executable, str(_SABOTAGED), fault]
        command += ["run", "--config", str(made.config)]
        made.process = Process(command, made.directory / "log")
        made.process.wait_until(lambda: made.metrics()["mqtt_connected"])
        return made

    return start


def test_each_message_is_found_at_each_place(load, archiving, tmp_path):
    options = ("--devices", "20", "--rate", "300", "--seconds", "1")
    written = ("--junit", str(tmp_path / "load.xml"))
    written += ("--html", str(tmp_path / "load.html"))
    # Much else may run on this machine: what is asked here is not how fast it was.
    running = load(*options, "--max-lag", "60000", *_watch(archiving), *written)
    assert running.wait() == 0, running.output()
    assert (tmp_path / "load.xml").read_text().startswith("<?xml")
    assert (tmp_path / "load.html").read_text().startswith("<!doctype html>")
    report = load.report()
    assert report["result"] == "passed"
    assert (report["due"], report["sent"], report["acknowledged"]) == (300, 300, 300)
    for place in ("live", "database"):
        found = report[place]
        assert (found["found"], found["lost"], found["unknown"]) == (300, 0, 0), place
    assert report["database"]["duplicated"] == report["live"]["reordered"] == 0
    assert report["bridge"]["received"] == 300
    assert report["bridge"]["rejected"] == 0
    for times in report["stages"].values():
        due, sent = times["since_due_ms"], times["since_sent_ms"]
        assert 0 < due["p50"] <= due["p95"] <= due["p99"] <= due["p99.9"] <= due["max"]
        assert sent["max"] <= due["max"]
    assert sum(second["due"] for second in report["seconds"]) == 300
    rows = _rows(archiving)
    assert len(set(rows)) == 300
    assert {boot for _, boot, _ in rows} == {report["load"]["boot"]}
    assert {seq for _, _, seq in rows} == set(range(15))


def test_it_is_red_when_the_bridge_drops_one_message_in_a_thousand(load, sabotaged):
    archiving = sabotaged("drops")
    options = ("--rate", "2000", "--seconds", "0.5", "--drain", "1", "--no-live")
    running = load(*options, *_watch(archiving))
    assert running.wait() == 1, running.output()
    report = load.report()
    assert report["acknowledged"] == report["bridge"]["acknowledged"] == 1000
    assert report["database"]["lost"] >= 1
    assert report["database"]["found"] + report["database"]["lost"] == 1000
    assert _checks(report)["database"] == "failed"
    assert _checks(report)["acknowledged"] == "passed"
    lost = report["database"]["first_lost"][0]
    assert (lost["device_id"], lost["boot"], lost["seq"]) not in _rows(archiving)


def test_it_is_red_when_the_bridge_acknowledges_before_it_writes(load, sabotaged):
    archiving = sabotaged("acknowledges_first")
    options = ("--rate", "400", "--seconds", "1", "--drain", "1", "--no-live")
    running = load(*options, "--archive", str(archiving.archive))
    eventually(lambda: archiving.metrics().get("messages_acknowledged_total", 0) > 50)
    archiving.kill()
    archiving.start()
    assert running.wait() == 1, running.output()
    report = load.report()
    assert report["acknowledged"] == 400
    assert report["database"]["lost"] > 50
    assert _checks(report)["database"] == "failed"


def test_a_bridge_that_is_killed_loses_nothing(load, archiving):
    options = ("--rate", "400", "--seconds", "1", "--max-lag", "60000", "--no-live")
    running = load(*options, "--archive", str(archiving.archive), "--drain", "20")
    eventually(lambda: archiving.metrics().get("messages_acknowledged_total", 0) > 50)
    archiving.kill()
    archiving.start()
    assert running.wait() == 0, running.output()
    assert load.report()["database"]["found"] == 400


def test_a_slow_generator_is_not_blamed_on_the_system(load):
    options = ("--devices", "5", "--rate", "100", "--seconds", "0.5")
    running = load(*options, "--max-lag", "0.0001", "--p99", "0.0001")
    assert running.wait() == 1, running.output()
    report = load.report()
    assert report["result"] == "unknown"
    assert _checks(report)["generator"] == _checks(report)["objective"] == "unknown"


def test_devices_have_certificates_and_the_account_of_a_service_subscribes(
    load, secure_mosquitto, tmp_path, monkeypatch
):
    broker = secure_mosquitto
    for device, _ in fleet(3, seed=1):
        broker.pair(Subject("device", device, "load"))
    broker.start()
    password = broker.account("egizcore").password
    monkeypatch.setenv("EGIZ_SIM_LIVE_PASSWORD", password)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(broker.authority.pem)
    pairs = f"{broker.layout.issued}/{{device}}.pem"
    options = ("--devices", "3", "--rate", "30", "--seconds", "1", "--ca", str(ca))
    options += ("--cert", pairs, "--key", pairs, "--max-lag", "60000")
    url = f"mqtts://localhost:{broker.device_port}"
    live = ("--live-broker", f"mqtt://egizcore@localhost:{broker.port}")
    running = load(*options, *live, broker=url)
    assert running.wait() == 0, running.output()
    assert load.report()["live"]["found"] == load.report()["acknowledged"] == 30
    assert password not in running.output() + str(load.report())
    running = load(*options, "--no-live", broker=url)
    assert running.wait() == 0, running.output()
    refused = load(*options, broker=url)
    assert refused.wait() == 2
    assert "give --live-broker or --no-live" in refused.output().replace("\n", " ")


@pytest.mark.parametrize("host", ["localhost", "localhost."])
def test_the_name_of_the_broker_may_be_written_with_the_root(
    secure_mosquitto, tmp_path, monkeypatch, host
):
    secure_mosquitto.start()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(secure_mosquitto.authority.pem)
    pair = str(secure_mosquitto.pair(Subject("device", "oven-001", "load")))
    url = f"mqtts://{host}:{secure_mosquitto.device_port}"
    broker = Broker.from_url(url, tls=TlsFiles(str(ca), pair, pair))
    asked = know_localhost_with_root(monkeypatch)
    connect(broker, "oven-001", is_clean=True).close()

    async def publish():
        connected = asyncio.Event()
        publisher = Publisher(broker, "oven-001", None, connected.set, print)
        async with asyncio.timeout(20):
            running = asyncio.create_task(publisher.run())
            await connected.wait()
            await publisher.close()
            await running

    asyncio.run(publish())
    assert set(asked) == {host}  # to look it up, the root stays


def test_a_broker_that_is_not_there_is_a_sentence(load, tmp_path):
    with_archive = ("--archive", str(tmp_path / "none.sqlite"), "--connect", "3")
    running = load(*with_archive, broker=f"mqtt://127.0.0.1:{free_port()}")
    assert running.wait() == 1
    assert " connected (" in running.output()  # while it tries
    assert "devices could not connect" in running.output()
    assert "Traceback" not in running.output()


def test_a_search_with_too_high_a_first_rate_says_so(load, tmp_path):
    options = ("--search", "--p99", "0.0001", "--rate", "50", "--seconds", "0.2")
    page = tmp_path / "search.html"
    running = load(*options, "--devices", "5", "--no-live", "--html", str(page))
    assert running.wait() == 1, running.output()
    assert "begin at a lower --rate" in running.output()
    assert "Rates tried" in page.read_text()
    search = load.report()["search"]
    assert [step["rate"] for step in search["steps"]] == [50, 50]
    assert search["highest_rate"] == 0
