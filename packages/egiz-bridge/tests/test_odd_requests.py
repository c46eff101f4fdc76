"""Odd requests at http.listen are answered, and leave no traceback in the log."""

import http.client

import pytest
from egiz_bridge.observe import http as module
from egiz_bridge.observe.http import App, HttpServer
from prometheus_client import CollectorRegistry
from rig.waiting import eventually


@pytest.fixture
def served():
    app = App(CollectorRegistry(), {"/healthz": list}, lambda since: {"since": since})
    server = HttpServer("127.0.0.1", 0, app)
    yield server
    server.close()


def _ask(server, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("since", "status"),
    [("0", 200), ("9" * 19, 200), ("9" * 20, 400), ("9" * 5000, 400), ("-1", 400)],
)
def test_since_is_a_number_of_milliseconds(served, capfd, since, status):
    assert _ask(served, f"/devices?since={since}")[0] == status
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=x",
        "application/openmetrics-text; version=1.0.0;escaping=zzz",
        "text/plain;escaping=;;;=",
        "*" * 3000,
    ],
)
def test_no_accept_header_is_a_traceback(served, capfd, accept):
    for _ in range(5):
        assert _ask(served, "/metrics", Accept=accept)[0] in {200, 500}
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert output.count("no answer to an HTTP request") in {0, 3}
    assert _ask(served, "/healthz")[0] == 200


def test_an_error_of_a_part_is_an_answer_and_logged_now_and_then(capfd):
    def fails(_):
        raise ZeroDivisionError

    server = HttpServer("127.0.0.1", 0, App(CollectorRegistry(), {}, fails))
    for _ in range(9):
        status, text = _ask(server, "/devices")
        assert (status, text) == (500, "internal error: see the log of the bridge\n")
    server.close()
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert output.count("ZeroDivisionError at ") == 4


def test_what_the_library_would_print_is_a_line_of_the_log(served, capfd, monkeypatch):
    """As of an answer that is no answer."""
    monkeypatch.setattr(module.App, "__call__", lambda *_: [b"without a status"])
    for _ in range(5):
        assert _ask(served, "/healthz")[0] == 500
    output = []

    def lines():  # each is logged after its answer was sent
        output.extend(capfd.readouterr())
        return "".join(output).count("HTTP request not answered")

    eventually(lambda: lines() == 3)
    assert "Traceback" not in "".join(output)
