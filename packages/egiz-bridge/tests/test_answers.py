"""The words with which databases refuse, as they send them."""

import json
import time

import pytest
from egiz_bridge.errors import (
    BEYOND_RETENTION,
    FIELD_TYPE_CONFLICT,
    REJECTED,
    Blame,
)
from egiz_bridge.sinks.answers import SHOWN_MAX, rejection, shown
from egiz_bridge.sinks.exchange import ANSWER_MAX_BYTES

LINES = [b"telemetry,device_id=a-1 x=1.0 1000", b"status,device_id=a-1 y=2.0 2000"]


def _v1(text):
    return json.dumps({"error": text}) + "\n"


def _v2(text):
    text = f"failure writing points to database: {text}"
    return json.dumps({"code": "unprocessable entity", "message": text})


def _questdb(text, line=2):
    text = f"failed to parse line protocol:errors encountered on line(s):\n{text}"
    return json.dumps({"code": "invalid", "message": text, "line": line})


def _v3(why):
    item = {"original_line": "status,…", "line_number": 2, "error_message": why}
    text = "partial write of line protocol occurred"
    return json.dumps({"error": text, "data": [item]})


INFLUX_CONFLICT = (
    'partial write: field type conflict: input field "x" on measurement "telemetry" is'
    " type integer, already exists as type float dropped=2"
)
LASTING = {"is_lasting": True}
OF_X = Blame(None, "telemetry", "x", "integer", **LASTING)
OF_Y = Blame(1, "status", "y", "string", **LASTING)
V3_TYPE = (
    "invalid column type for column 'y', expected iox::column_type::field::float, got"
    " iox::column_type::field::string"
)
CLOUD_PARSING = (
    "failed to parse line protocol: errors encountered on line(s):\n"
    "error parsing line 2 (1-based): Invalid measurement was provided"
)
CLOUD_TYPE = (
    "error writing line 2: Unable to insert iox::column_type::field::string type into"
    " column y with type iox::column_type::field::float"
)


@pytest.mark.parametrize(
    ("answer", "reason", "blames", "dropped"),
    [
        (_v1(INFLUX_CONFLICT), FIELD_TYPE_CONFLICT, [OF_X], 2),
        (_v2(INFLUX_CONFLICT), FIELD_TYPE_CONFLICT, [OF_X], 2),
        (
            _v1(INFLUX_CONFLICT.replace("integer", "float64")),
            FIELD_TYPE_CONFLICT,
            [OF_X._replace(type="float")],
            2,
        ),
        # A new field with two types in one batch: InfluxDB 1 does not say which.
        (_v1("field type conflict"), FIELD_TYPE_CONFLICT, [], 0),
        (
            _v2(
                "partial write: invalid field name: input field"
                ' "time" on measurement "telemetry" is invalid dropped=1'
            ),
            REJECTED,
            [Blame(None, "telemetry", "time", **LASTING)],
            1,
        ),
        (
            _questdb(
                "error in line 2: table: status, column: y; cast error from protocol"
                " type: STRING to column type: DOUBLE"
            ),
            FIELD_TYPE_CONFLICT,
            [OF_Y],
            0,
        ),
        (
            _questdb(
                "error in line 2: table: status, column: y; line protocol value: 1024"
                " is out bounds of column type: BYTE"
            ),
            REJECTED,
            [Blame(1, "status", "y")],
            0,
        ),
        (
            _questdb("error in line 2: table: status; invalid column name: a/b"),
            REJECTED,
            [Blame(1, "status", "a/b", **LASTING)],
            0,
        ),
        (
            _questdb("error in line 2: Could not parse timestamp: zz"),
            REJECTED,
            [Blame(1)],
            0,
        ),
        (
            _questdb(
                "error in line 2: table: status, timestamp: -5; designated timestamp"
                " before 1970-01-01 is not allowed"
            ),
            REJECTED,
            [Blame(1)],
            0,
        ),
        (_v3(V3_TYPE), FIELD_TYPE_CONFLICT, [OF_Y._replace(measurement="")], 0),
        (_v3("No fields were provided"), REJECTED, [Blame(1)], 0),
        (
            json.dumps({"code": "invalid", "message": CLOUD_TYPE}),
            FIELD_TYPE_CONFLICT,
            [OF_Y._replace(measurement="")],
            0,
        ),
        (
            json.dumps({"code": "invalid", "message": CLOUD_PARSING, "line": 2}),
            REJECTED,
            [Blame(1)],
            0,
        ),
        (
            _v1("partial write: points beyond retention policy dropped=7"),
            BEYOND_RETENTION,
            [],
            7,
        ),
        (
            _v2(
                "partial write: dropped 4 points outside retention policy of duration"
                " 24h0m0s - oldest point a,b=c at 2022-01-01T15:00:00Z dropped because"
                " it violates a Retention Policy Lower Bound at 2025-05-20T19:06:17Z,"
                " newest point a,b=c at 2022-01-01T16:00:00Z dropped because it"
                " violates a Retention Policy Lower Bound at 2025-05-20T19:06:17Z"
                " dropped=4 for database: 9f28 for retention policy: autogen"
            ),
            BEYOND_RETENTION,
            [],
            4,
        ),
        # Too far in the future: older rows are better ones.
        (
            _v2(
                "partial write: dropped 1 points outside retention policy of duration"
                " 24h0m0s - oldest point a at 2035-01-01T15:00:00Z dropped because it"
                " violates a Write Window Upper Bound at 2026-05-20T19:06:17Z dropped=1"
            ),
            REJECTED,
            [],
            1,
        ),
        (
            _v1(
                "partial write: unable to parse 'status,device_id=a-1 y=2.0 2000': bad"
                " timestamp dropped=0"
            ),
            REJECTED,
            [Blame(1, is_sure=True)],
            0,
        ),
        (
            '{"code":"invalid","message":"metric parse error: expected field at 1:6"}',
            REJECTED,
            [],
            0,
        ),
        (
            _v1("partial write: max-series-per-database limit exceeded: (1) dropped=2"),
            REJECTED,
            [],
            2,
        ),
    ],
)
def test_rows_and_fields_that_are_named_are_known(answer, reason, blames, dropped):
    error = rejection("", answer, LINES)
    assert (error.reason, list(error.blames), error.dropped) == (
        reason,
        blames,
        dropped,
    )
    assert error.is_about_rows


@pytest.mark.parametrize(
    "answer",
    [
        "Client sent an HTTP request to an HTTPS server.\n",
        _v1("database is required"),
        _v1("unexpected EOF"),
        '{"code":"invalid","message":"failed to decode request: org is required"}',
        'remoteAddr: "1.2.3.4:5"; unsupported path requested: "/nope"',
        "<html><body><h1>400 Bad Request</h1>Unable to parse request</body></html>",
        "",
        "[1, 2]",
        "[" * 100_000,
    ],
)
def test_words_about_the_request_say_nothing_of_rows(answer):
    error = rejection("", answer, LINES)
    assert not error.is_about_rows
    assert error.blames == ()


def test_what_is_shown_is_short_and_printable_and_holds_no_secret():
    page = "<html><h1>400\x1b[31m Bad\r\nRequest</h1> Token s3cret " + "x" * 999
    text = shown(page, ["s3cret"])
    assert text.startswith("400 [31m Bad Request Token *** xxx")
    assert len(text) == SHOWN_MAX
    assert shown(_v1('a "b"'), []) == 'a "b"'


def test_a_line_with_quotes_is_found_in_the_answer():
    line = b"status,device_id=a-1 y=\"it's': so\" 2000"
    error = rejection("", f"unable to parse '{line.decode()}': bad", [b"x", line])
    assert list(error.blames) == [Blame(1, is_sure=True)]


_LINES = [b"a" * (n % 500 + 1) for n in range(1000)]
# What a pattern begins with, again and again, each with as much of it as there may be.
_HOSTILE = [
    'input field "',
    'input field "a',
    'input field "a" on measurement "',
    'input field \\"a\\" on measurement \\"b',
    'input field "a" on measurement "b" is type ',
    'input field "%s" on measurement "' % ("a" * 256),
    "column '",
    "column 'a', expected ",
    "column 'a', expected b, got ",
    "column 'a', expected b,c, got iox::column_type::field::",
    "iox::column_type::field::",
    "iox::column_type::field::a type into column ",
    "error in line 1: table: ",
    "error in line 1: table: \n",
    "error in line 1: table: a, column: \n",
    "error in line 1: table: a, column: b\n",
    "error in line 1",
    "error in line 1: cast error from protocol type: ",
    "error in line 1: invalid column name: ",
    "error writing line 1: column '",
    "error writing line 1: column '\n",
    "unable to parse '",
    "unable to parse '': ",
    "': ",
    "dropped=1",
    "points beyond the ",
    "<html>",
    "<",
    "<html <",
    "1",
    " ",
    "\n",
    "[",
    '{"data":',
]
_BEGINNINGS = [
    "",
    "<html>",
    "unable to parse '",
    "error in line 1: table: ",
    "error in line ",
    "error writing line ",
    "dropped=",
    'input field "',
    "error writing line 1: column '",
]


def _cost_s(text):
    """Of the fastest of some tries."""
    costs = []
    for _ in range(3):
        begun = time.thread_time()
        rejection("HTTP 400", text, _LINES)
        shown(text, ["secret"])
        costs.append(time.thread_time() - begun)
    return min(costs)


@pytest.mark.parametrize("repeated", _HOSTILE)
def test_what_an_answer_costs_grows_no_faster_than_its_length(repeated):
    """With eight times the length, a pattern that looks back costs 64 times as much."""
    for beginning in _BEGINNINGS:
        short_s, long_s = (
            _cost_s((beginning + repeated * (size // len(repeated)))[:size])
            for size in (ANSWER_MAX_BYTES // 8, ANSWER_MAX_BYTES)
        )
        # What takes less than this is no matter, and too short for a ratio.
        assert long_s < max(20 * short_s, 0.02), (beginning, repeated, short_s, long_s)


@pytest.mark.parametrize("count", [10, 5000, 65_000])
@pytest.mark.parametrize("words", ["dropped=%s", "error in line %s: x"])
def test_a_number_of_any_length_is_no_number_of_a_row(words, count):
    refused = rejection("HTTP 400", words % ("1" * count), _LINES)
    assert refused.dropped == 0
    assert refused.blames == ()
