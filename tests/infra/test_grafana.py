"""Dashboards: as their code writes them, and every query run on a real database."""

import itertools
import json
import math
import re
import time
from collections import defaultdict
from functools import partial

import pytest
import yaml
from egiz_dashboards.__main__ import DIRECTORY, rendered
from egiz_dashboards.units import unit_of
from egiz_schema import Topic
from egiz_schema.documents import dictionary
from engines.influxdb import InfluxDb2
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from rig.monitoring import SHIPPED, names_served, watched
from rig.publisher import Publisher
from rig.servers import InfluxDb
from rig.waiting import eventually

register_default_plugins()
BOARDS = {path.stem: json.loads(path.read_text()) for path in DIRECTORY.glob("*.json")}
PROVISIONING = DIRECTORY.parent / "provisioning"
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']} ({panel['id']})")
    for name, board in sorted(BOARDS.items())
    for panel in board["panels"]
    if panel["type"] != "row"
]
FIELDS = {row["influx_field"]: row for row in dictionary.rows() if row["influx_field"]}
# There is no such device here; its metric is served.
WITHOUT_ROWS = {"Silent"}


def test_the_files_are_what_the_code_writes():
    committed = {path.name: path.read_text() for path in DIRECTORY.glob("*.json")}
    assert rendered() == committed, "run: hatch run dashboards"


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_grafanas_own_types_read_all_of_a_dashboard(name):
    read = Dashboard.from_json(BOARDS[name])
    again = json.loads(JSONEncoder().encode(read))
    # Of the marks of a database it has no type: these are run below.
    assert _without_queries_of_marks(again) == _without_queries_of_marks(BOARDS[name])


def _without_queries_of_marks(board):
    marks = [one | {"target": None} for one in board["annotations"]["list"]]
    return board | {"annotations": {"list": marks}}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_have_different_ids_and_do_not_overlap(name):
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    occupied = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        rows = range(at["y"], at["y"] + at["h"])
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), rows))
        assert not cells & occupied, panel["title"]
        occupied |= cells


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_explains_itself(panel):
    assert panel["description"].endswith(".")
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]


@pytest.mark.parametrize("panel", PANELS)
def test_units_are_those_of_the_contract(panel):
    if panel["datasource"]["type"] != "influxdb" or panel["type"] != "timeseries":
        return
    for target in panel["targets"]:
        selected = target["query"].partition(" FROM ")[0] + target["alias"]
        inner = re.search(r"\(SELECT (.*?) FROM", target["query"])
        named = set(re.findall(r"\w+_\w+", inner[1] if inner else selected))
        shown = {unit_of(name) for name in _fields_of(named)} or {"short"}
        expected = {"short"} if "count(" in selected else shown
        assert expected == {panel["fieldConfig"]["defaults"]["unit"]}


def _fields_of(names):
    """Fields of the contract that begin so."""
    for name in names:
        field = name.rstrip("_")
        yield from (
            known.replace("_N", "_0")
            for known in FIELDS
            if known.replace("_N", "_0").startswith(field)
        )


ARCHIVE = PROVISIONING / "datasources/archive.yaml"
ARCHIVE_1 = PROVISIONING.parent / "archive-influxdb1.yaml"


@pytest.mark.parametrize("archive", [ARCHIVE, ARCHIVE_1], ids=["2", "1"])
def test_provisioning_has_a_source_for_each_kind_and_no_secret(archive):
    files = [archive, PROVISIONING / "datasources/metrics.yaml"]
    sources = {
        source["type"]: source
        for file in files
        for source in yaml.safe_load(file.read_text())["datasources"]
    }
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "datasource":
                source = sources[variable["query"]]
                assert variable["current"]["value"] == source["uid"]
                assert variable["current"]["text"] == source["name"]
    for source in sources.values():
        assert re.fullmatch(r"\$\{EGIZ_\w+_URL\}", source["url"])
        for secret in source.get("secureJsonData", {}).values():
            assert re.fullmatch(r"(Token )?\$\{EGIZ_\w+\}", secret)


def test_what_is_changed_in_the_browser_is_not_kept():
    file = yaml.safe_load((PROVISIONING / "dashboards/openegiz.yaml").read_text())
    (provider,) = file["providers"]
    assert not provider["allowUiUpdates"]
    assert provider["disableDeletion"]


DEVICES = ("oven-001", "heat-pump-02")
STEP_S = 30
STEPS = 20
UPDATES = (
    {"state": "failed", "version": "0.2.0", "error": "status 404"},
    {"state": "updating", "version": "0.2.1"},
)


def _telemetry(device_id, step, now_s):
    return {
        "device_id": device_id,
        "timestamp": now_s - (STEPS - step) * STEP_S,
        "boot": 3,
        "seq": step,
        "electrical": {
            "voltage": dict.fromkeys("abc", 230.0 + step),
            "current": dict.fromkeys("abc", 4.5),
            "active_power": dict.fromkeys("abc", 1000.0),
            "energy_wh": dict.fromkeys("abc", 7000 + 10 * step),
            "power_factor": 0.97,
            "frequency": 50.0,
        },
        "thermal": {"temperature_zones": [185.0, None, 188.5], "setpoint": 190.0},
        "values": {"humidity": 40.0 + step, "level": None if step % 2 else 7.5},
        "counters": {"pieces": 3 * step if step < STEPS // 2 else step},
        "contacts": {"door": step % 5 == 0},
        "status": {
            "operational_state": "running" if step % 7 else "fault",
            "wifi_rssi": -61,
            "uptime_seconds": 600 + step,
            "free_memory_bytes": 41000,
            "buffer_depth": step % 3,
            "dropped": step // 5,
            "fault_codes": [] if step % 7 else ["pzem_b:no_reply"],
        },
    }


def _seed(publisher):
    """46 messages of the contract, one after a gap, and one that is not."""
    now_s = int(time.time())
    for device_id in DEVICES:
        birth = {
            "device_id": device_id,
            "state": "online",
            "timestamp": now_s - 600,
            "boot": 3,
            "firmware_version": "0.1.0",
            "reset_cause": "power_on",
            "ip": "192.0.2.7",
            "config": {"rev": 4, "applied": True},
            "channels": {
                "humidity": {"quantity": "humidity"},
                "pieces": {"quantity": "pieces", "unit": "{cake}"},
            },
        }
        _publish(publisher, device_id, "status", birth)
        for step in range(STEPS):
            reading = _telemetry(device_id, step, now_s)
            _publish(publisher, device_id, "telemetry", reading)
    after_a_gap = _telemetry(DEVICES[0], STEPS + 5, now_s)
    _publish(publisher, DEVICES[0], "telemetry", after_a_gap)
    publisher.publish("sensors/factory/oven-001/telemetry", b"{")
    birth = {"device_id": DEVICES[0], "state": "online", "timestamp": now_s - 60}
    changed = {"boot": 4, "config": {"rev": 5, "applied": True}}
    _publish(publisher, DEVICES[0], "status", birth | changed)
    for number, ota in enumerate(UPDATES):
        said = birth | {"timestamp": now_s - 50 + number, "ota": ota, "boot": 4}
        _publish(publisher, DEVICES[0], "status", said | {"firmware_version": "0.1.0"})


def _publish(publisher, device_id, kind, message):
    topic = Topic("factory", device_id, kind)
    publisher.publish(str(topic), json.dumps(message).encode())


@pytest.fixture(scope="module")
def seeded(tmp_path_factory, pytestconfig):
    """A database that the real bridge has filled, and the metrics of the bridge."""
    directory = tmp_path_factory.mktemp("grafana")
    made = {"1": InfluxDb, "2": InfluxDb2}[pytestconfig.getoption("--influxdb")]
    database = made(directory / "influxdb")
    database.start()
    try:
        with watched(directory, influxdb=database.table) as running:
            with Publisher(running.broker) as publisher:
                _seed(publisher)
            written = 'egiz_bridge_sink_written_total{sink="influxdb"} == 46'
            eventually(lambda: running.prometheus.query(written), 30)
            firing = 'ALERTS{alertname="DeadLetters",alertstate="firing"}'
            eventually(lambda: running.prometheus.query(firing), 30)
            yield database, running
    finally:
        database.kill()


RANKS = {
    variable["name"]: variable
    for board in BOARDS.values()
    for variable in board["templating"]["list"]
    if variable.get("hide") == 2
}


def _as_grafana_asks(query, **chosen):
    """With the variables of a dashboard that shows all."""
    values = {
        "$timeFilter": "time >= now() - 1h",
        "$__interval": "10s",
        "$__rate_interval": "30s",
        "$lines": "20",
        **{f"${name}": ".*" for name in ("facility", "device_type", "device_id")},
        **{f"${name}": ".*" for name in RANKS},
        **{f"${name}": value for name, value in chosen.items()},
    }
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(name, values[name])
    assert "$" not in query.replace("$/", ""), query
    return query


def _values(rows):
    tags = {"time", "facility", "device_id", "device_type"}
    return [row[name] for row in rows for name in row if name not in tags]


@pytest.mark.parametrize("panel", PANELS)
def test_every_query_is_answered_with_rows(seeded, panel):
    database, running = seeded
    for target in panel["targets"]:
        if "query" in target:
            rows = database.query(_as_grafana_asks(target["query"]))
            assert any(value is not None for value in _values(rows)), target["query"]
        else:
            ask = partial(running.prometheus.query, _as_grafana_asks(target["expr"]))
            if panel["title"] in WITHOUT_ROWS:
                assert ask() == []
            else:
                eventually(ask, 30)  # a rate needs two scrapes


OVER_TIME = {"timeseries", "state-timeline"}
GRAPHS = [one for one in PANELS if one.values[0]["type"] in OVER_TIME]


@pytest.mark.parametrize("panel", GRAPHS)
def test_a_gap_in_the_data_is_a_gap_in_the_panel(panel):
    """InfluxDB must say that an interval is empty, and a minute of it is not drawn."""
    config = panel["fieldConfig"]
    custom = config["defaults"].get("custom", {})
    spans = [custom["spanNulls"]] if "spanNulls" in custom else []
    spans += [
        one["value"]
        for override in config.get("overrides", [])
        for one in override["properties"]
        if one["id"] == "custom.spanNulls"
    ]
    assert spans == [60_000]
    for target in panel["targets"]:
        if "$__interval" in target.get("query", ""):
            assert target["query"].removesuffix(" SLIMIT $lines").endswith("fill(null)")


def test_a_silence_is_empty_intervals_in_the_answer(influxdb):
    now_ms = int(time.time() * 1000) // 60_000 * 60_000
    for minutes_ago in (10, 9, 5, 4):
        at = now_ms - minutes_ago * 60_000
        influxdb.write(f"telemetry,device_id=oven-1 thermal_setpoint=1 {at}".encode())
    (query,) = {
        target["query"]
        for panel in BOARDS["lines"]["panels"]
        for target in panel.get("targets", [])
        if target.get("query", "").startswith('SELECT mean("thermal_setpoint") FROM')
    }
    when = f"time >= {now_ms - 600_000}ms AND time < {now_ms - 180_000}ms"
    head, _, tail = query.partition("WHERE")
    asked = f"{head} WHERE {when} GROUP BY{tail.partition('GROUP BY')[2]}"
    rows = influxdb.query(asked.replace("$__interval", "1m").replace("$lines", "9"))
    assert [row["mean"] for row in rows] == [1, 1, None, None, None, 1, 1]


def test_a_total_has_every_machine_though_they_publish_at_different_seconds(influxdb):
    """One message a minute of each: in five seconds there is one machine, or none."""
    first_ms = int(time.time() * 1000) // 60_000 * 60_000 - 600_000
    for minute, second in itertools.product(range(3), (0, 20, 40)):
        at = first_ms + minute * 60_000 + second * 1000
        line = f"telemetry,device_id=oven-{second} electrical_active_power_a=100 {at}"
        influxdb.write(line.encode())
    for title in ("Active power", "Current"):
        (panel,) = (p for p in BOARDS["lines"]["panels"] if p["title"] == title)
        assert (panel["interval"], panel["maxDataPoints"]) == ("5m", 30)
    (panel,) = (p for p in BOARDS["lines"]["panels"] if p["title"] == "Active power")
    when = f"time >= {first_ms}ms AND time < {first_ms + 180_000}ms"
    query = panel["targets"][0]["query"].replace("$timeFilter", when)
    # No place and no type here, which a regular expression does not find.
    for name in ("facility", "device_type"):
        query = query.replace(f'"{name}" =~ /^${name}$/ AND ', "")
    rows = influxdb.query(_as_grafana_asks(query.replace("$__interval", "1m")))
    assert [row["sum"] for row in rows] == [300, 300, 300]


@pytest.mark.parametrize("name", ["fleet", "lines"])
def test_no_panel_draws_more_devices_than_the_reader_chose(name):
    """1,000 devices are 750,000 rows for an hour, which took 6 s."""
    (lines,) = (
        one for one in BOARDS[name]["templating"]["list"] if one["name"] == "lines"
    )
    assert lines["current"]["value"] == "20"
    for panel in BOARDS[name]["panels"]:
        for target in panel.get("targets", []):
            query = target.get("query", "")
            if 'time($__interval), "device_id" fill(null)' in query:
                assert query.endswith(" SLIMIT $lines"), panel["title"]
                rank = re.search(r'"device_id" =~ /\^\$(\w+)\$/ GROUP', query)
                assert rank[1] in RANKS


def test_a_rank_is_hidden_and_all_of_it_is_chosen():
    """Grafana then makes one regular expression of the devices."""
    for variable in RANKS.values():
        assert variable["includeAll"]
        assert variable["multi"]
        assert variable["current"] == {"text": "All", "value": "$__all"}
        assert "allValue" not in variable
        assert variable["query"].count("$timeFilter") == 1
    assert len(RANKS) == 9


# What Grafana fills in itself, by its documentation of variables and of each source.
BUILT_IN = {
    *("timeFilter", "__interval", "__rate_interval", "tag_device_id", "col"),
    *("__value", "__url_time_range", "__all"),
}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_each_variable_that_a_dashboard_names_is_one_of_its_own(name):
    """Grafana leaves the name of another one as it is: the query then finds nothing."""
    own = {one["name"]: one for one in BOARDS[name]["templating"]["list"]}
    text = json.dumps(BOARDS[name]).replace("$/", "/")
    named = set(re.findall(r"\$\{?(\w+)", text))
    assert named - BUILT_IN <= own.keys()
    shown = {key for key, one in own.items() if one.get("hide", 0) == 0}
    assert own.keys() - shown == RANKS.keys() & own.keys()
    # No circle: a rank asks with the choices of the reader, and no other rank.
    for key in own.keys() - shown:
        asked = set(re.findall(r"\$\{?(\w+)", own[key]["query"]))
        assert asked - BUILT_IN <= shown


@pytest.mark.parametrize("name", sorted(RANKS))
def test_every_rank_is_answered_with_devices(seeded, name):
    rows = seeded[0].query(_as_grafana_asks(RANKS[name]["query"]))
    assert {row["device_id"] for row in rows} == set(DEVICES)
    assert list(rows[0]) == ["time", "device_id", "number"]


def test_the_devices_that_are_shown_are_the_worst_and_not_the_first(influxdb):
    now_ms = int(time.time() * 1000)
    for number in range(30):
        weak, off = -60 - number % 7 * (number % 5), (number * 7) % 30 - 15
        values = f"status_wifi_rssi={weak}i,thermal_setpoint=190"
        values += f",thermal_temperature_zones_0={190 + off}"
        tags = f"device_id=oven-{number:02},device_type=oven,facility=hall"
        line = f"telemetry,{tags} {values} {now_ms - 60_000}"
        influxdb.write(line.encode())
    weakest = sorted(range(30), key=lambda n: -60 - n % 7 * (n % 5))[:3]
    farthest = sorted(range(30), key=lambda n: -abs((n * 7) % 30 - 15))[:3]
    for board, title, name, expected in (
        ("fleet", "Wi-Fi signal", "weakest_wifi", weakest),
        ("lines", "Off the setpoint", "farthest_off", farthest),
    ):
        query = RANKS[name]["query"].replace("$lines", "3")
        ranked = [row["device_id"] for row in influxdb.query(_as_grafana_asks(query))]
        assert set(ranked) == {f"oven-{number:02}" for number in expected}
        (panel,) = (p for p in BOARDS[board]["panels"] if p["title"] == title)
        query = panel["targets"][0]["query"]
        chosen = {name: f"({'|'.join(ranked)})"}
        rows = influxdb.query(_as_grafana_asks(query, **chosen))
        assert {row["device_id"] for row in rows} == set(ranked)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_without_data_says_so_in_words(panel):
    assert len(panel["fieldConfig"]["defaults"]["noValue"].split()) > 5


def _marks(name):
    return {one["name"]: one for one in BOARDS[name]["annotations"]["list"]}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_alerts_are_marked_and_on_the_dashboard_of_a_device_its_own(seeded, name):
    _, running = seeded
    expr = _marks(name)["Alerts"]["expr"]
    asked = _as_grafana_asks(expr, device_id="oven-001")
    if name == "device":
        assert asked == 'ALERTS{alertstate="firing",device_id="oven-001"}'
        running.prometheus.query(asked)  # an error is an answer of 400
    else:
        found = running.prometheus.query(asked)
        assert "DeadLetters" in {one["metric"]["alertname"] for one in found}


@pytest.mark.parametrize("name", ["device", "fleet", "lines"])
@pytest.mark.parametrize("mark", ["Births", "Configurations"])
def test_a_birth_and_a_new_configuration_are_marked_with_their_device(
    seeded, name, mark
):
    target = _marks(name)[mark]["target"]
    rows = seeded[0].query(_as_grafana_asks(target["query"]))
    assert [(row["step"], row[target["textColumn"]]) for row in rows] == [
        (1, "oven-001")
    ]
    other = _as_grafana_asks(target["query"], device_id="heat-pump-02")
    assert seeded[0].query(other) == []


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_shows_what_the_reader_chose(panel):
    """Its source is a variable; of the archive, so are place, type and device."""
    assert panel["datasource"]["uid"] in {"${archive}", "${metrics}"}
    for target in panel["targets"]:
        if "query" in target:
            for name in ("facility", "device_type", "device_id"):
                assert f'"{name}" =~ /^${name}$/' in target["query"]


ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((SHIPPED / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
_PANEL_OF = re.compile(
    r"http://localhost:3000/d/openegiz-(\w+)\?viewPanel=(\d+)"
    r"(&var-device_id={{ \$labels.device_id }})?"
)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_its_panel_and_the_panel_to_the_runbook(name):
    annotations = ALERTS[name]["annotations"]
    board, number, _ = _PANEL_OF.fullmatch(annotations["dashboard_url"]).groups()
    (panel,) = (p for p in BOARDS[board]["panels"] if p["id"] == int(number))
    url = annotations["runbook_url"].replace("http://localhost:8000", "${docs}")
    assert [one["title"] for one in panel["links"] if one["url"] == url] == [
        f"Runbook: {name}"
    ]
    (docs,) = (v for v in BOARDS[board]["templating"]["list"] if v["name"] == "docs")
    assert docs["query"] == "http://localhost:8000"


def test_no_panel_leads_to_the_section_of_an_alert_that_is_not_there():
    linked = [
        one["title"].removeprefix("Runbook: ")
        for board in BOARDS.values()
        for panel in board["panels"]
        for one in panel.get("links") or []
    ]
    assert sorted(linked) == sorted(ALERTS)


def _drawn(name):
    """The line across each graph of a dashboard that has one: (value, is lowest)."""
    found = {}
    for panel in BOARDS[name]["panels"]:
        config = panel.get("fieldConfig", {}).get("defaults", {})
        if config.get("custom", {}).get("thresholdsStyle", {}).get("mode") == "dashed":
            first, second = config["thresholds"]["steps"]
            assert {first["color"], second["color"]} == {"green", "red"}
            found[panel["title"]] = (second["value"], first["color"] == "red")
    return found


def test_a_graph_has_a_line_where_its_alert_begins():
    drawn = _drawn("ingestion")
    for title, alert, end in (
        ("From the device to the bridge", "ReadingsLate", " > 5"),
        ("From receipt to each database", "SinkSlow", " > 1"),
        ("From receipt to PUBACK", "BridgeLag", " > 5"),
        ("Memory", "BrokerHeapHigh", " > 0.8 * 512 * 1024 * 1024"),
        ("Memory", "BridgeMemoryHigh", " > 0.8 * 512 * 1024 * 1024"),
    ):
        expr = ALERTS[alert]["expr"].strip()
        assert expr.endswith(end)
        numbers = [float(one) for one in end.removeprefix(" > ").split(" * ")]
        assert drawn[title] == (math.prod(numbers), False)
    assert drawn["Connected"] == (1, True)
    assert drawn["Ledger"] == (1, False)
    assert "stored_messages > 150000 " in ALERTS["BrokerQueueNearLimit"]["expr"]
    assert drawn["Queue of the broker"] == (150_000, False)
    assert "- time() < 14 * 86400 " in ALERTS["CertificateExpiry"]["expr"]
    assert drawn["Certificates"] == (14 * 86_400, True)


def test_a_graph_of_devices_has_a_line_where_a_value_is_bad():
    weak, lost = (-80, True), (1, False)
    assert _drawn("fleet") == {"Faults": lost, "Wi-Fi signal": weak, "Dropped": lost}
    assert _drawn("device") == {"Wi-Fi signal": weak, "Dropped": lost}


def test_what_has_no_rows_here_is_served_all_the_same(seeded):
    _, running = seeded
    served = set(names_served(running.bridge.get("/metrics")[1]))
    queried = [
        target["expr"]
        for board in BOARDS.values()
        for panel in board["panels"]
        if panel["title"] in WITHOUT_ROWS
        for target in panel["targets"]
    ]
    names = {name for expr in queried for name in re.findall(r"egiz_bridge_\w+", expr)}
    assert len(names) == len(WITHOUT_ROWS)
    assert names <= served


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_choice_has_something_to_choose(seeded, name):
    database, _ = seeded
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "query" and variable["name"] not in RANKS:
            rows = database.query(_as_grafana_asks(variable["query"]))
            chosen = {"device_id": set(DEVICES), "facility": {"factory"}}
            chosen["device_type"] = {"oven", "heat-pump"}
            assert {row["value"] for row in rows} == chosen[variable["name"]]


def _asked(seeded, name, title, **chosen):
    (panel,) = (p for p in BOARDS[name]["panels"] if p["title"] == title)
    query = panel["targets"][0]["query"]
    values = _values(seeded[0].query(_as_grafana_asks(query, **chosen)))
    return [value for value in values if value is not None]  # that is a gap


def test_the_answers_are_what_was_published(seeded):
    assert _asked(seeded, "lines", "Active power") == [2000.0] * STEPS
    assert set(_asked(seeded, "device", "Power factor", device_id="oven-001")) == {0.97}
    energy = _asked(seeded, "lines", "Energy", device_id="heat-pump-02")
    assert energy == [10 * (STEPS - 1)] * 3
    faults = _asked(seeded, "fleet", "Faults", device_id="heat-pump-02")
    assert sum(faults) == len(range(0, STEPS, 7))


def _columns(seeded, title):
    """The answer to the first query of a panel for one device: values by column."""
    (panel,) = (p for p in BOARDS["device"]["panels"] if p["title"] == title)
    query = _as_grafana_asks(panel["targets"][0]["query"], device_id="heat-pump-02")
    found = defaultdict(list)
    for row in seeded[0].query(query):
        for name in row.keys() - {"time", "facility", "device_id"}:
            if row[name] is not None:
                found[name].append(row[name])
    return found


def test_the_fleet_shows_the_last_update_whole(seeded):
    """The reason of the one before is not shown beside it."""
    (panel,) = (p for p in BOARDS["fleet"]["panels"] if p["title"] == "Updates")
    (row,) = seeded[0].query(_as_grafana_asks(panel["targets"][0]["query"]))
    shown = {name: row[name] for name in ("device_id", "update", "version", "runs")}
    assert shown == {
        "device_id": "oven-001",
        "update": "updating",
        "version": "0.2.1",
        "runs": "0.1.0",
    }
    assert row["reason"] is None


def test_the_device_shows_whatever_channels_it_has(seeded):
    values = _columns(seeded, "Values")
    assert values == {
        "mean_values_humidity": [40.0 + step for step in range(STEPS)],
        "mean_values_level": [7.5] * (STEPS // 2),
    }
    half = STEPS // 2
    grown = _columns(seeded, "Counters")["non_negative_difference_counters_pieces"]
    assert grown == [3] * (half - 1) + [1] * (STEPS - half - 1)  # not where it restarts
    doors = _columns(seeded, "Contacts")["last_contacts_door"]
    assert doors == [step % 5 == 0 for step in range(STEPS)]
    assert _columns(seeded, "Quantities and units") == {
        "last_channels_humidity_quantity": ["humidity"],
        "last_channels_pieces_quantity": ["pieces"],
        "last_channels_pieces_unit": ["{cake}"],
    }
