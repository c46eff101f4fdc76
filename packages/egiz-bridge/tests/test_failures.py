"""What a database may answer, class by class: nothing is lost, nothing is silent."""

import base64
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from rig.publisher import Publisher
from rig.scripted_http import Answer
from rig.waiting import eventually

FIRST_S = 1706352600


@pytest.fixture
def publish(mosquitto):
    """`publish(units)`: one message of each, all different."""
    with Publisher(mosquitto) as publisher:

        def send(units):
            for unit in units:
                device = f"oven-{unit:03}"
                payload = (
                    f'{{"device_id":"{device}","timestamp":{FIRST_S + unit},'
                    f'"thermal":{{"setpoint":{unit}.5}}}}'
                )
                publisher.publish(f"sensors/factory/{device}/telemetry", payload)

        yield send


@pytest.fixture
def running(mosquitto, bridge, scripted_http, tmp_path):
    (tmp_path / "token").write_text("first-token\n")
    table = {
        "url": scripted_http.url,
        "bucket": "b",
        "org": "o",
        "token_file": str(tmp_path / "token"),
    }
    made = bridge(mosquitto.url, influxdb=table)
    made.start()
    return made


def _units(lines):
    return sorted(int(line.split(b"device_id=oven-")[1][:3]) for line in lines)


def _balance(running, **expected):
    metrics = running.metrics()
    found = {name: metrics[f"sink_{name}/influxdb"] for name in expected}
    assert found == expected
    assert metrics["sink_unaccounted/influxdb"] == 0


def _acknowledged(running, count):
    def has_arrived():
        return running.metrics()["messages_acknowledged_total"] == count

    eventually(has_arrived, timeout=30)


def _all_written(running, count):
    def is_written():
        metrics = running.metrics()
        return (
            metrics["messages_acknowledged_total"] == count
            and metrics["sink_spooled/influxdb"] == 0
            and metrics["sink_in_flight/influxdb"] == 0
        )

    eventually(is_written, timeout=40)


def test_a_write_is_what_the_api_asks_for(running, scripted_http, publish):
    publish(range(3))
    _all_written(running, 3)
    request = scripted_http.requests[0]
    assert request.path == "/api/v2/write?org=o&bucket=b&precision=ms"
    assert request.headers["Authorization"] == "Token first-token"
    assert _units(scripted_http.lines) == [0, 1, 2]
    _balance(running, written_total=3, dead_total=0)


@pytest.mark.parametrize("status", [400, 422])
def test_bad_lines_are_found_and_the_others_written(
    running, scripted_http, publish, status
):
    bad = (b"oven-007", b"oven-031")

    def answer(request):
        if any(name in line for line in request.lines for name in bad):
            return Answer(status, '{"code":"invalid","message":"unable to parse"}')
        return Answer()

    scripted_http.answer = answer
    publish(range(40))
    _all_written(running, 40)
    assert _units(scripted_http.lines) == [n for n in range(40) if n not in (7, 31)]
    _balance(running, written_total=38, dead_total=2)
    assert "rejected by the sink: dead letters" in running.log


def test_a_body_that_is_too_large_is_split(running, scripted_http, publish):
    scripted_http.answer = lambda asked: Answer(413 if len(asked.lines) > 4 else 204)
    publish(range(40))
    _all_written(running, 40)
    assert _units(scripted_http.lines) == list(range(40))
    _balance(running, written_total=40, dead_total=0)


def test_a_single_line_that_is_too_large_is_a_dead_letter(
    running, scripted_http, publish
):
    def answer(request):
        is_large = any(b"oven-001" in line for line in request.lines)
        return Answer(413, "too large") if is_large else Answer()

    scripted_http.answer = answer
    publish(range(3))
    _all_written(running, 3)
    assert _units(scripted_http.lines) == [0, 2]
    _balance(running, written_total=2, dead_total=1)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "is influxdb.token_file right?"),
        (403, "may the token write"),
        (404, "does the bucket or database exist?"),
        (408, "HTTP 408"),
        (429, "HTTP 429"),
        (500, "HTTP 500"),
        (502, "HTTP 502"),
        (503, "HTTP 503"),
        # Not by the database: by what stands before it.
        (200, "HTTP 200"),
        (301, "HTTP 301"),
    ],
)
def test_a_temporary_error_is_logged_spooled_and_written_at_last(
    running, scripted_http, publish, status, hint
):
    scripted_http.answer = lambda _: Answer(status, "sorry")
    publish(range(5))
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 5)
    _balance(running, written_total=0, dead_total=0, spooled=5, up=0)
    assert hint in running.log
    assert hint in running.get("/readyz")[1]
    assert "first-token" not in running.log
    scripted_http.answer = lambda _: Answer()
    _all_written(running, 5)
    assert _units(scripted_http.lines) == list(range(5))
    _balance(running, written_total=5, dead_total=0, up=1)
    assert running.log.count("sink outage: writes fail") == 1


@pytest.mark.parametrize("zone", [None, " GMT", "", " -0000"])
def test_retry_after_is_respected(running, scripted_http, publish, zone):
    asked = []

    def answer(_):
        asked.append(time.monotonic())
        if len(asked) == 1:
            later = datetime.now(UTC) + timedelta(seconds=4)
            date = format_datetime(later, usegmt=True)
            wanted = "3" if zone is None else date.replace(" GMT", zone)
            return Answer(503, "busy", (("Retry-After", wanted),))
        return Answer()

    scripted_http.answer = answer
    publish(range(2))
    _all_written(running, 2)
    assert asked[1] - asked[0] >= 2.0  # dates have whole seconds


def test_a_token_that_is_replaced_is_used_at_once(
    running, scripted_http, publish, tmp_path
):
    def answer(request):
        is_new = request.headers["Authorization"] == "Token second-token"
        return Answer() if is_new else Answer(401, "unauthorized access")

    scripted_http.answer = answer
    publish(range(3))
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 3)
    (tmp_path / "token").unlink()
    eventually(lambda: "cannot read" in running.get("/readyz")[1], timeout=40)
    (tmp_path / "token").write_text("second-token")
    _all_written(running, 3)
    assert _units(scripted_http.lines) == [0, 1, 2]


def test_an_answer_that_never_comes_delays_nothing(running, scripted_http, publish):
    scripted_http.answer = lambda _: Answer(hangs=True)
    publish(range(3))
    eventually(lambda: len(scripted_http.requests) == 1)
    publish(range(3, 6))
    eventually(lambda: running.metrics()["messages_received_total"] == 6)
    assert running.get("/healthz")[0] == 200
    _acknowledged(running, 6)
    assert "timed out" in running.log
    scripted_http.answer = lambda _: Answer()
    _all_written(running, 6)
    assert _units(scripted_http.lines) == list(range(6))


def test_a_conflict_that_is_known_does_not_slow_down_every_batch(
    running, scripted_http, publish
):
    """Half of the fleet has a field that the database keeps under another type."""
    conflict = (
        'partial write: field type conflict: input field "thermal_setpoint" on'
        ' measurement "telemetry" is type float, already exists as type string'
    )

    def answer(request):
        conflicts = [line for line in request.lines if b"thermal_setpoint" in line]
        return Answer(400, conflict) if conflicts else Answer()

    scripted_http.answer = answer
    publish(range(30))
    _all_written(running, 30)
    first = len(scripted_http.requests)
    assert first < 30  # not one write for each row
    publish(range(30, 60))
    _all_written(running, 60)
    assert len(scripted_http.requests) == first  # separated before anything is sent
    _balance(running, written_total=0, dead_total=60)


def test_version_1_gets_user_and_password(
    mosquitto, bridge, scripted_http, publish, tmp_path
):
    (tmp_path / "user").write_text("bridge:secret")
    table = {
        "url": scripted_http.url,
        "api": "v1",
        "database": "d",
        "token_file": str(tmp_path / "user"),
    }
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    publish(range(1))
    _all_written(running, 1)
    request = scripted_http.requests[0]
    assert request.path == "/write?db=d&precision=ms"
    known = base64.b64encode(b"bridge:secret").decode()
    assert request.headers["Authorization"].lower() == f"basic {known}".lower()


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_password_is_sent_as_utf_8(
    mosquitto, bridge, scripted_http, publish, tmp_path, api
):
    secret = "bridge:p\u00e4\u0441\u0441"
    (tmp_path / "user").write_bytes(b"\xef\xbb\xbf" + secret.encode() + b"\r\n")
    where = {"database": "d"} if api == "v1" else {"bucket": "b"}
    table = {"url": scripted_http.url, "api": api, **where}
    table["token_file"] = str(tmp_path / "user")
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    publish(range(1))
    _all_written(running, 1)
    # The server reads a header as Latin-1 (RFC 9110, 5.5): the bytes are what counts.
    sent = scripted_http.requests[0].headers["Authorization"].encode("latin-1")
    basic = b"basic " + base64.b64encode(secret.encode())
    wanted = basic if api == "v1" else b"Token " + secret.encode()
    assert sent.replace(b"Basic", b"basic") == wanted


def test_a_secret_that_is_spoilt_is_an_outage_until_it_is_right_again(
    running, scripted_http, publish, tmp_path
):
    publish(range(1))
    _all_written(running, 1)
    (tmp_path / "token").write_bytes(b"n3w\nline\n")
    publish(range(1, 3))
    eventually(lambda: "influxdb.token_file" in running.get("/readyz")[1])
    (tmp_path / "token").write_text("second-token\n")
    _all_written(running, 3)
    assert _units(scripted_http.lines) == [0, 1, 2]
    assert scripted_http.requests[-1].headers["Authorization"] == "Token second-token"
    assert "n3w" not in running.log
    assert running.stop() == 0
