"""http.listen on an IPv6 address."""

import socket
import urllib.request

import pytest
from egiz_bridge.cli.check import results
from egiz_bridge.config import settings
from egiz_bridge.observe.http import App, HttpServer
from prometheus_client import CollectorRegistry


@pytest.fixture
def _ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.fail("this machine has no IPv6 loopback, which this test needs")


@pytest.mark.usefixtures("_ipv6")
def test_it_is_served_and_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bridge.toml").write_text('[http]\nlisten = "[::1]:0"\n')
    loaded = settings.load(tmp_path / "bridge.toml")
    found = {one.key: one.problem for one in results(loaded)}
    assert found["http.listen"] is None
    app = App(CollectorRegistry(), {"/healthz": list}, list)
    server = HttpServer(*loaded.http.address, app)
    url = f"http://[::1]:{server.port}/healthz"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.status == 200
    server.close()
