"""What a refusal means, with a strict database: rows, fields, or the configuration."""

import json
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from egiz_bridge.batch import Batch, Message
from egiz_bridge.errors import Blame
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline import recovery, refusals, turn
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks import influxdb
from egiz_bridge.sinks.exchange import Answer
from egiz_bridge.sinks.influxdb import InfluxdbTable
from egiz_bridge.spool import Spool
from line_protocol_parser import parse_line
from rig.waiting import eventually

BEGIN_S = 1706352600
WORDLESS = Answer(400, "Client sent an HTTP request to an HTTPS server.\n", None)
OK = Answer(204, "", None)
_FILES = Path("/proc/self/fd")
BAD = -1.0  # what the database refuses


def _v1(text):
    return Answer(400, json.dumps({"error": text}), None)


class Database:
    """Answers as `script(lines)` says, and keeps the lines that it accepts."""

    losses = 0  # of connections

    def __init__(self):
        self.script = lambda _: OK
        self.requests = []
        self.stored = set()
        self.losses = 0  # of connections

    def post(self, url, body, headers):
        del url, headers
        lines = body.splitlines()
        answer = self.script(lines)
        self.requests.append(lines)
        if answer.status == 204:
            self.stored.update(line for line in lines if b"=" in line)
        return answer

    def close(self):
        pass


def _row(number, setpoint=1.5, **fields):
    device = f"oven-{number % 5:03}"
    thermal = {"setpoint": setpoint}
    message = {"device_id": device, "timestamp": BEGIN_S + number, "thermal": thermal}
    payload = json.dumps(message | fields).encode()
    topic = f"sensors/factory/{device}/telemetry"
    return to_row(Message(topic, payload, (BEGIN_S + number) * 1000))


def _is_bad(line):
    return b"thermal_setpoint=-1.0" in line


class Bridge:
    """A dispatcher with one InfluxDB sink, and what became of its messages."""

    def __init__(self, path):
        self.path = path
        self.spool, self.ledger = Spool(path, 4 * 1024**2), Ledger()
        self.dispatcher = Dispatcher(self.spool, self.ledger, lambda: None)
        self.offered = self.acknowledged = 0

    def start(self):
        self.dispatcher.configure([InfluxdbTable(url="http://127.0.0.1:1", bucket="b")])
        eventually(lambda: self.counts().trouble != "has not answered yet")

    def offer(self, rows):
        self.offered += len(rows)
        ids = list(range(1, len(rows) + 1))
        self.dispatcher.offer(
            Batch(0, time.monotonic(), rows=list(rows), packet_ids=ids)
        )

    def counts(self):
        for batch in self.dispatcher.collect():
            self.acknowledged += len(batch.packet_ids)
        counts = self.ledger.snapshot().sinks["influxdb"]
        assert counts.unaccounted == 0
        return counts

    def is_done(self):
        """Whether everything is written or dead, and acknowledged."""
        counts = self.counts()
        return (
            self.acknowledged == self.offered
            and not (counts.in_flight or counts.spooled)
            and counts.is_up
        )

    def letters(self):
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(
                "SELECT reason, detail, payload FROM dead_letters ORDER BY id"
            ).fetchall()

    def stop(self):
        self.dispatcher.stop(10)
        self.spool.close()


@pytest.fixture
def database(monkeypatch):
    made = Database()
    monkeypatch.setattr(influxdb, "Exchange", lambda _tls: made)
    monkeypatch.setattr(recovery, "_BACKOFF", recovery.Backoff(0.2, 1))
    return made


@pytest.fixture
def bridge(database, tmp_path):
    del database
    made = Bridge(tmp_path / "spool.sqlite")
    yield made
    made.stop()


@pytest.mark.parametrize(
    "answer",
    [
        WORDLESS,
        _v1("database is required"),
        Answer(422, "<html><h1>422</h1></html>", None),
        Answer(413, "Request Entity Too Large", None),
        Answer(400, 'unsupported path requested: "/nope"', None),
    ],
)
def test_a_refusal_of_everything_is_held_and_nothing_is_a_dead_letter(
    bridge, database, answer
):
    database.script = lambda _: answer
    bridge.start()
    for begin in range(0, 300, 100):
        bridge.offer([_row(number) for number in range(begin, begin + 100)])
    eventually(lambda: bridge.counts().spooled == 300)
    time.sleep(1)
    counts = bridge.counts()
    assert (counts.dead, counts.written, counts.spooled) == (0, 0, 300)
    assert str(answer.status) in counts.trouble
    assert bridge.acknowledged == 300
    assert bridge.letters() == []
    database.script = lambda _: OK
    eventually(bridge.is_done)
    assert database.stored == {_row(number).line for number in range(300)}


def _limit(lines):
    """A limit of the database, said of all rows of a request that it refuses."""
    text = "partial write: max-series-per-database limit exceeded: (3)"
    return _v1(f"{text} dropped={len(lines)}")


@pytest.mark.parametrize("words", [_limit, lambda _: _v1("partial write: timeout")])
def test_a_refusal_of_every_row_that_names_none_is_held_and_makes_no_dead_letter(
    bridge, database, words
):
    database.script = words
    bridge.start()
    for number in range(5):
        bridge.offer([_row(number * 8 + n) for n in range(8)])
    eventually(lambda: bridge.counts().spooled == 40)
    time.sleep(1)
    assert bridge.counts().dead == 0
    assert not bridge.counts().is_up
    assert "no row gets through" in bridge.counts().trouble
    database.script = lambda _: OK
    eventually(bridge.is_done)
    assert bridge.counts().written == 40
    assert bridge.letters() == []


def test_series_beyond_a_limit_are_dead_letters_while_others_are_written(
    bridge, database
):
    def known_only(lines):
        refused = [line for line in lines if b"oven-000" not in line]
        database.stored.update(line for line in lines if b"oven-000" in line)
        return _limit(refused) if refused else OK

    database.script = known_only
    bridge.start()
    bridge.offer([_row(0)])
    eventually(bridge.is_done)
    bridge.offer([_row(number) for number in range(1, 40)])
    eventually(bridge.is_done)
    assert (bridge.counts().written, bridge.counts().dead) == (8, 32)
    assert len(database.stored) == 8
    # And in a quiet hour, as the only one.
    bridge.offer([_row(41)])
    eventually(bridge.is_done)
    assert bridge.counts().dead == 33


def test_a_server_that_begins_to_refuse_everything_is_held(bridge, database):
    bridge.start()
    bridge.offer([_row(number) for number in range(100)])
    eventually(bridge.is_done)
    database.script = lambda _: WORDLESS
    bridge.offer([_row(number) for number in range(100, 200)])
    eventually(lambda: bridge.counts().spooled == 100)
    assert "HTTPS server" in bridge.counts().trouble
    database.script = lambda _: OK
    eventually(bridge.is_done)
    assert len(database.stored) == 200
    assert bridge.letters() == []


def test_a_server_that_refuses_probes_in_unknown_words_gets_its_rows(bridge, database):
    """A probe has no rows, and this server says so in words that no one knows."""

    def answer(lines):
        has_fields = all(b"=" in line for line in lines)
        return OK if lines and has_fields else Answer(400, "no sense", None)

    database.script = answer
    bridge.start()
    assert "no sense" in bridge.counts().trouble
    time.sleep(1)
    assert not bridge.counts().is_up  # not before a row was accepted
    spent = time.process_time()
    time.sleep(1)
    assert time.process_time() - spent < 0.5  # and it does not spin meanwhile
    bridge.offer([_row(number) for number in range(10)])
    eventually(bridge.is_done)
    assert len(database.stored) == 10


def test_a_probe_that_fails_after_rows_were_written_says_nothing(bridge, database):
    """It was begun before: the sink is up, and no other probe would say so."""
    is_tried, may_answer = threading.Event(), threading.Event()
    probes = iter(range(10_000))

    def answer(lines):
        if lines and all(b"=" in line for line in lines):
            return OK
        if next(probes) >= 4:  # two a try: the writer's own, and one of the outage
            is_tried.set()
            may_answer.wait(60)
        return Answer(400, "no sense", None)

    database.script = answer
    bridge.start()
    assert is_tried.wait(60)
    bridge.offer([_row(number) for number in range(10)])
    eventually(bridge.is_done)
    outage = next(one for one in threading.enumerate() if one.name == "outage")
    may_answer.set()
    outage.join(60)
    assert bridge.counts().is_up


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_a_proxy_that_refuses_requests_at_random_costs_no_row(bridge, database, share):
    drawn = random.Random(11)
    database.script = lambda _: WORDLESS if drawn.random() < share else OK
    bridge.start()
    rows = [_row(number) for number in range(400)]
    for begin in range(0, 400, 10):
        bridge.offer(rows[begin : begin + 10])
    eventually(bridge.is_done, timeout=60)
    assert database.stored == {row.line for row in rows}
    assert bridge.letters() == []


def test_an_outage_uses_no_more_and_more_threads_and_files(bridge, database):
    database.script = lambda _: WORDLESS
    bridge.start()
    bridge.offer([_row(1)])
    eventually(lambda: len(database.requests) > 30)
    files, threads = len([*_FILES.iterdir()]), threading.active_count()
    eventually(lambda: len(database.requests) > 200)
    assert len([*_FILES.iterdir()]) <= files + 2
    assert threading.active_count() <= threads + 1
    database.script = lambda _: OK
    eventually(bridge.is_done)


def _refuses_bad_without_a_word(lines):
    return WORDLESS if any(map(_is_bad, lines)) else OK


def test_a_bad_row_alone_in_a_quiet_hour_is_a_dead_letter(bridge, database):
    database.script = _refuses_bad_without_a_word
    bridge.start()
    bridge.offer([_row(1)])
    eventually(bridge.is_done)
    bridge.offer([_row(2, BAD)])
    eventually(bridge.is_done)
    bridge.offer([_row(3)])
    eventually(bridge.is_done)
    assert database.stored == {_row(1).line, _row(3).line}
    assert [payload for _, _, payload in bridge.letters()] == [
        _row(2, BAD).message.payload
    ]


def test_a_bad_row_before_any_other_waits_for_one_that_gets_through(bridge, database):
    database.script = _refuses_bad_without_a_word
    bridge.start()
    bridge.offer([_row(1, BAD)])
    eventually(lambda: bridge.counts().spooled == 1)
    assert "no row gets through" in bridge.counts().trouble
    bridge.offer([_row(6, BAD)])  # of the same device
    bridge.offer([_row(2)])
    eventually(bridge.is_done)
    assert database.stored == {_row(2).line}
    assert bridge.counts().dead == 2


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_bad_rows_are_found_without_a_word_about_them(bridge, database, share):
    database.script = _refuses_bad_without_a_word
    drawn = random.Random(7)
    rows = [_row(n, BAD if drawn.random() < share else 1.5) for n in range(200)]
    bad = {row.line for row in rows if _is_bad(row.line)}
    bridge.start()
    bridge.offer(rows)
    eventually(bridge.is_done, timeout=60)
    assert database.stored == {row.line for row in rows} - bad
    letters = {payload for _, _, payload in bridge.letters()}
    assert letters == {row.message.payload for row in rows if row.line in bad}
    assert len(bridge.letters()) == len(bad)


def test_a_server_that_breaks_while_bad_rows_are_searched_costs_no_good_one(
    bridge, database
):
    """For a while it refuses everything: once in the middle of each search."""
    begun = len(database.requests)

    def answer(lines):
        is_broken = 10 < len(database.requests) - begun < 40
        return WORDLESS if is_broken else _refuses_bad_without_a_word(lines)

    database.script = answer
    rows = [_row(number, BAD if number % 10 == 3 else 1.5) for number in range(100)]
    bridge.start()
    bridge.offer(rows)
    eventually(bridge.is_done, timeout=60)
    assert len(database.stored) == 90
    assert sorted(payload for _, _, payload in bridge.letters()) == sorted(
        row.message.payload for row in rows if _is_bad(row.line)
    )


BEYOND = {
    "counted": lambda n: f"partial write: points beyond retention policy dropped={n}",
    "counted wrongly": lambda _: (
        "partial write: points beyond retention policy dropped=1"
    ),
    "not counted": lambda _: "points beyond retention policy",
    "in the words of InfluxDB 2": lambda n: (
        f"partial write: dropped {n} points outside retention policy of duration 1h0m0s"
        f" - oldest point a dropped because it violates a Retention Policy Lower Bound"
        f" at 2026-01-01T00:00:00Z dropped={n}"
    ),
}


@pytest.mark.parametrize("words", BEYOND)
@pytest.mark.parametrize("old", [1, 400, 1000])
def test_points_beyond_retention_take_few_requests(bridge, database, words, old):
    rows = [_row(number) for number in range(1000)]
    oldest = {row.line for row in rows[:old]}
    random.Random(3).shuffle(rows)

    def answer(lines):
        beyond = oldest.intersection(lines)
        database.stored.update(set(lines) - beyond)  # the others are written
        return _v1(BEYOND[words](len(beyond))) if beyond else OK

    database.script = answer
    bridge.start()
    begun = len(database.requests)
    bridge.offer(rows)
    eventually(bridge.is_done, timeout=60)
    assert len(database.requests) - begun <= 25
    assert {reason for reason, _, _ in bridge.letters()} == {"beyond_retention"}
    assert len(bridge.letters()) == bridge.counts().dead == old
    assert database.stored == {row.line for row in rows} - oldest


def test_a_backlog_beyond_retention_is_not_sent_at_all(bridge, database):
    database.script = lambda _: Answer(503, "", None)
    bridge.start()
    for begin in range(0, 2000, 100):
        bridge.offer([_row(number) for number in range(begin, begin + 100)])
    eventually(lambda: bridge.counts().spooled == 2000)
    sent = len(database.requests)
    database.script = lambda lines: _v1(BEYOND["counted"](len(lines))) if lines else OK
    eventually(bridge.is_done, timeout=30)
    assert bridge.counts().dead == 2000
    assert len(database.requests) - sent <= 22 + 5


def _refuses_slowly(seconds):
    def answer(lines):
        bad = [line for line in lines if _is_bad(line)]
        if bad:
            time.sleep(seconds)
            return _v1("partial write: something about a row dropped=1")
        return OK

    return answer


def test_a_search_has_a_bound_and_what_is_live_goes_first(bridge, database):
    """All of 300 rows are refused after 50 ms: 600 requests, 30 s."""
    database.script = _refuses_slowly(0.05)
    bridge.start()
    bridge.offer([_row(number, BAD) for number in range(300)])
    eventually(lambda: bridge.counts().spooled > 0)
    for number in range(1000, 1010):
        begun = time.monotonic()
        bridge.offer([_row(number)])
        eventually(lambda number=number: _row(number).line in database.stored)
        assert time.monotonic() - begun < 3 * turn.SECONDS_MAX + 2
        (busy_s,) = bridge.dispatcher.busy_seconds().values()
        assert busy_s < 2
    eventually(lambda: bridge.counts().dead > 20)
    assert len(bridge.letters()) == pytest.approx(bridge.counts().dead, abs=40)


def test_each_turn_gets_on_however_slow_the_answers_are(bridge, database, monkeypatch):
    monkeypatch.setattr(turn, "SECONDS_MAX", 0.0)  # one request a turn
    database.script = _refuses_slowly(0)
    rows = [_row(number, BAD if number % 8 == 3 else 1.5) for number in range(64)]
    bridge.start()
    bridge.offer(rows)
    eventually(bridge.is_done, timeout=60)
    assert len(database.stored) == 56
    assert len(bridge.letters()) == 8


def test_a_crash_in_a_search_repeats_none_of_what_was_found(bridge, database, tmp_path):
    database.script = _refuses_slowly(0.01)
    rows = [_row(number, BAD) for number in range(300)]
    bridge.start()
    bridge.offer([_row(300)])  # it shows that the database accepts rows
    bridge.offer(rows)
    eventually(lambda: bridge.counts().dead > 60)
    # What a crash leaves: a copy of the file at some instant.
    with closing(sqlite3.connect(bridge.path)) as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "copy.sqlite"),))
    restarted = Bridge(tmp_path / "copy.sqlite")
    found = len(restarted.letters())
    assert found > 60
    restarted.offered = restarted.acknowledged = 0
    restarted.start()
    restarted.offer([_row(300)])
    eventually(restarted.is_done, timeout=60)
    restarted.stop()
    restarted_letters = {payload for _, _, payload in _letters_of(restarted.path)}
    assert restarted_letters == {row.message.payload for row in rows}
    # One turn at most is repeated.
    assert len(_letters_of(restarted.path)) <= 300 + turn.REQUESTS_MAX


def _letters_of(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT reason, detail, payload FROM dead_letters").fetchall()


def test_what_is_left_of_a_batch_is_as_old_as_the_batch(bridge, database):
    batches = bridge.spool.batches
    messages = [_row(number).message for number in range(9)]
    batches.put("influxdb", messages)
    with closing(sqlite3.connect(bridge.path)) as db, db:
        db.execute("UPDATE batches SET received_ms = 4711")
    left = [messages[:4], messages[6:]]
    batches.replace(batches.oldest("influxdb"), "influxdb", left)
    with closing(sqlite3.connect(bridge.path)) as db:
        rows = db.execute("SELECT received_ms, messages, bytes FROM batches").fetchall()
        total = db.execute("SELECT sum(length(body)) FROM batches").fetchone()
    assert [row[:2] for row in rows] == [(4711, 4), (4711, 3)]
    assert bridge.spool.quota.batch_bytes == sum(row[2] for row in rows) == total[0]
    assert [len(batches.oldest("influxdb").messages)] == [4]
    bridge.start()
    eventually(lambda: len(database.stored) == 7)


def test_a_full_spool_does_not_stop_a_search(bridge, database):
    database.script = _refuses_slowly(0)
    bridge.spool.quota.max_bytes = 10_000
    bridge.start()
    rows = [_row(number, BAD if number % 3 == 1 else 1.5) for number in range(300)]
    bridge.offer(rows)
    eventually(bridge.is_done, timeout=60)
    assert len(database.stored) == 200
    assert bridge.counts().dead == 100


def test_rows_that_are_quoted_are_dead_letters_and_the_others_are_written_at_once(
    bridge, database
):
    def answer(lines):
        bad = [line.decode() for line in lines if _is_bad(line)]
        text = "\n".join(f"unable to parse '{line}': bad" for line in bad)
        return Answer(400, json.dumps({"message": text}), None) if bad else OK

    database.script = answer
    bridge.start()
    begun = len(database.requests)
    bridge.offer([_row(n, BAD if n % 2 else 1.5) for n in range(100)])
    eventually(bridge.is_done)
    assert len(database.requests) - begun == 2
    assert (bridge.counts().written, bridge.counts().dead) == (50, 50)


def _questdb(lines):
    for number, line in enumerate(lines, 1):
        if b"status_wifi_rssi=" in line:
            text = (
                f"error in line {number}: table: telemetry, column: status_wifi_rssi;"
                " cast error from protocol type: INTEGER to column type: UUID"
            )
            return Answer(400, json.dumps({"code": "invalid", "message": text}), None)
    return OK


def _influx_3(lines):
    why = (
        "invalid column type for column 'status_wifi_rssi', expected"
        " iox::column_type::field::float, got iox::column_type::field::integer"
    )
    bad = [n for n, line in enumerate(lines, 1) if b"status_wifi_rssi=" in line]
    data = [{"line_number": n, "error_message": why} for n in bad]
    error = "partial write of line protocol occurred"
    text = json.dumps({"error": error, "data": data})
    return Answer(400, text, None) if data else OK


def _influx_2(lines):
    bad = [line for line in lines if b"status_wifi_rssi=" in line]
    text = (
        "failure writing points to database: partial write: field type conflict: input"
        ' field "status_wifi_rssi" on measurement "telemetry" is type integer, already'
        f" exists as type float dropped={len(bad)}"
    )
    document = {"code": "unprocessable entity", "message": text}
    return Answer(422, json.dumps(document), None) if bad else OK


@pytest.mark.parametrize("script", [_questdb, _influx_3, _influx_2])
def test_a_conflict_of_one_field_costs_that_field_and_not_the_message(
    bridge, database, script
):
    database.script = script
    rows = [_row(n, status={"wifi_rssi": -60} if n % 2 else {}) for n in range(100)]
    bridge.start()
    begun = len(database.requests)
    bridge.offer(rows)
    eventually(bridge.is_done)
    assert len(database.requests) - begun == 2
    counts = bridge.counts()
    assert (counts.written, counts.partial, counts.dead) == (100, 50, 0)
    assert database.stored == {_row(number).line for number in range(100)}
    letters = bridge.letters()
    assert len(letters) == 50
    for reason, detail, payload in letters:
        assert reason == "field_type_conflict"
        assert detail.startswith("$.status.wifi_rssi refused, the rest is written: H")
        assert b"wifi_rssi" in payload
    bridge.offer([_row(101, status={"wifi_rssi": -60})])
    eventually(bridge.is_done)
    assert len(database.requests) - begun == 3  # it is known by now


def test_a_field_is_left_out_only_with_the_type_that_was_refused(bridge, database):
    """The type of a command's argument differs from message to message."""

    def command(number, value):
        message = {"device_id": "oven-001", "id": str(number), "action": "x"}
        payload = json.dumps(message | {"args": {"a": value}})
        topic = "sensors/factory/oven-001/command"
        received_ms = (BEGIN_S + number) * 1000
        return to_row(Message(topic, payload.encode(), received_ms))

    def answer(lines):
        bad = [line for line in lines if b"args_a=1.0" in line]
        text = (
            'partial write: field type conflict: input field "args_a" on measurement'
            ' "command" is type float, already exists as type boolean dropped=1'
        )
        return _v1(text) if bad else OK

    database.script = answer
    bridge.start()
    bridge.offer([command(1, 1), command(2, True)])
    eventually(bridge.is_done)
    assert bridge.counts().partial == 1
    assert command(2, True).line in database.stored
    assert bridge.letters()[0][1].startswith("$.args.a refused")


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("telemetry", {"timestamp": BEGIN_S, "ms": 250}),
        ("telemetry", {"timestamp": BEGIN_S + 9000}),  # ahead
        ("telemetry", {"timestamp": 40, "status": {"time_synced": False}}),  # no clock
        ("telemetry", {"timestamp": BEGIN_S, "status": {"wifi_rssi": 9000}}),
        ("status", {"state": "offline", "boot": 7}),  # a last will has no time
    ],
)
def test_what_is_left_of_a_row_is_as_it_was_without_the_field(kind, members):
    thermal = {"temperature_zones": [1.5, None, 2.5], "setpoint": 3.5}
    groups = {"thermal": thermal} if kind == "telemetry" else {"ip": "10.0.0.1"}
    payload = json.dumps({"device_id": "oven-001", **members, **groups}).encode()
    topic = f"sensors/factory/oven-001/{kind}"
    row = to_row(Message(topic, payload, BEGIN_S * 1000 + 5))
    before = parse_line(row.line.decode())
    for field, value in before["fields"].items():
        type_ = refusals._TYPES[type(value)]  # noqa: SLF001  # the names of types
        refused = refusals.Refusals()
        blame = Blame(None, kind, field, type_, is_lasting=True)
        assert refused.learn_field(blame, refusals.Refusal("rejected", "no"))
        part = refused.part(row, {})
        left = {k: v for k, v in before["fields"].items() if k != field}
        assert parse_line(part.sent.line.decode()) == {**before, "fields": left}
        assert part.letter.message == row.message
        assert refused.part(_row(1), {}).letter is None or "setpoint" in field


def test_a_value_that_one_column_cannot_hold_costs_that_value(bridge, database):
    def answer(lines):
        for number, line in enumerate(lines, 1):
            if b"wifi_rssi=-99i" in line:
                text = (
                    f"error in line {number}: table: telemetry, column:"
                    " status_wifi_rssi; line protocol value: -99 is out bounds of"
                    " column type: BYTE"
                )
                return Answer(400, json.dumps({"message": text}), None)
        return OK

    database.script = answer
    rows = [_row(1, status={"wifi_rssi": -99}), _row(2, status={"wifi_rssi": -98})]
    bridge.start()
    bridge.offer(rows)
    eventually(bridge.is_done)
    assert database.stored == {_row(1).line, rows[1].line}
    assert bridge.counts().partial == 1
    assert "out bounds" in bridge.letters()[0][1]


def test_a_name_that_the_database_cuts_off_is_found(bridge, database):
    """As QuestDB does: at the character that no column may have."""

    def answer(lines):
        for number, line in enumerate(lines, 1):
            if b"args_" in line and b"/" in line.partition(b" ")[2]:
                text = f"error in line {number}: table: command; invalid column name:"
                return Answer(400, json.dumps({"message": f"{text} args_a/"}), None)
        return OK

    def command(number, **args):
        message = {"device_id": "oven-001", "id": str(number), "action": "x"}
        payload = json.dumps(message | {"args": args}).encode()
        topic = "sensors/factory/oven-001/command"
        return to_row(Message(topic, payload, (BEGIN_S + number) * 1000))

    database.script = answer
    bridge.start()
    begun = len(database.requests)
    bridge.offer([command(number, **{"a/b": 1.5, "c": 2.5}) for number in range(50)])
    eventually(bridge.is_done)
    assert len(database.requests) - begun == 2
    assert database.stored == {command(number, c=2.5).line for number in range(50)}
    assert bridge.letters()[0][1].startswith("$.args.a/b refused, the rest is written")


def test_a_message_of_nothing_but_a_field_that_is_refused_is_dead(bridge, database):
    def answer(lines):
        bad = [line for line in lines if b"thermal_setpoint=" in line]
        text = (
            'field type conflict: input field "thermal_setpoint" on measurement'
            ' "telemetry" is type float, already exists as type string'
        )
        return _v1(text) if bad else OK

    database.script = answer
    bridge.start()
    bridge.offer([_row(1)])
    eventually(bridge.is_done)
    counts = bridge.counts()
    assert (counts.written, counts.partial, counts.dead) == (0, 0, 1)
    assert bridge.letters()[0][1].startswith(
        "$.thermal.setpoint refused, it is all of the message: HTTP 400: field type"
    )


def test_an_answer_of_500_that_names_rows_is_no_outage(bridge, database):
    """As InfluxDB 2.0 gave it: it would be tried again for ever."""

    def answer(lines):
        bad = [line for line in lines if _is_bad(line)]
        text = "unexpected error writing points to database: partial write: points"
        text += f" beyond retention policy dropped={len(bad)}"
        return Answer(500, json.dumps({"message": text}), None) if bad else OK

    database.script = answer
    bridge.start()
    bridge.offer([_row(1, BAD), _row(2)])
    eventually(bridge.is_done)
    assert (bridge.counts().written, bridge.counts().dead) == (1, 1)
    assert bridge.letters()[0][0] == "beyond_retention"


@pytest.mark.parametrize("words", ["line", "error parsing line"])
def test_an_answer_of_201_says_that_some_rows_were_not_written(bridge, database, words):
    """As InfluxDB 3 gave it, with the status that others have for a success."""

    def answer(lines):
        bad = [number for number, line in enumerate(lines, 1) if _is_bad(line)]
        if not bad:
            return OK
        text = "partial write has occurred, errors encountered on line(s):"
        text += "".join(f"\n{words} {number} (1-based): no" for number in bad)
        document = {"code": "invalid", "message": text, "line": bad[0]}
        return Answer(201 if len(lines) > len(bad) else 400, json.dumps(document), None)

    database.script = answer
    bridge.start()
    bridge.offer([_row(1), _row(2, BAD), _row(3)])
    eventually(bridge.is_done)
    assert (bridge.counts().written, bridge.counts().dead) == (2, 1)
    assert database.stored == {_row(1).line, _row(3).line}


@pytest.mark.parametrize("text", ["", "welcome", '{"line": 1}'])
def test_an_answer_of_201_that_names_no_row_is_an_outage(bridge, database, text):
    """As a proxy gives it, which has stored nothing."""
    bridge.start()
    database.script = lambda _: Answer(201, text, None)
    bridge.offer([_row(1)])
    eventually(lambda: bridge.counts().spooled == 1)
    assert bridge.counts().trouble.startswith("HTTP 201")
    database.script = lambda _: OK
    eventually(bridge.is_done)
    assert bridge.letters() == []


@pytest.mark.parametrize("text", ["partial write", "timeout", "dropped=1"])
def test_an_answer_of_500_that_names_no_row_is_an_outage(bridge, database, text):
    """As a cluster gives it while a part of it is away."""
    bridge.start()
    database.script = lambda _: Answer(500, json.dumps({"error": text}), None)
    bridge.offer([_row(1)])
    eventually(lambda: bridge.counts().spooled == 1)
    assert text in bridge.counts().trouble
    database.script = lambda _: OK
    eventually(bridge.is_done)
    assert bridge.letters() == []


def test_a_row_that_is_too_large_is_a_dead_letter_and_the_others_are_written(
    bridge, database
):
    def answer(lines):
        return Answer(413, "", None) if sum(map(len, lines)) > 150 else OK

    database.script = answer
    large = _row(5, status={"operational_state": "x" * 60})
    bridge.start()
    bridge.offer([*(_row(number) for number in range(5)), large])
    eventually(bridge.is_done)
    assert database.stored == {_row(number).line for number in range(5)}
    assert [payload for _, _, payload in bridge.letters()] == [large.message.payload]
