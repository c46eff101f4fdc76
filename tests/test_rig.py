"""The rig itself: what the other tests rely on."""

import socket
import time

import pytest
from rig.process import Process
from rig.servers import InfluxDb, Mosquitto, VictoriaMetrics
from rig.waiting import eventually


def test_mosquitto_accepts_the_shipped_configuration_without_a_warning(mosquitto):
    eventually(lambda: " running\n" in mosquitto.log)  # it listens before
    lines = [line for line in mosquitto.log.lower().splitlines() if "root" not in line]
    for word in ("warning", "error", "deprecated"):
        assert not [line for line in lines if word in line]


@pytest.mark.parametrize("server", ["mosquitto", "influxdb", "victoriametrics"])
def test_a_server_comes_back_on_the_same_port_after_stop_and_kill(server, request):
    running = request.getfixturevalue(server)
    assert isinstance(running, Mosquitto | InfluxDb | VictoriaMetrics)
    for end in (running.stop, running.kill):
        end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((running.host, running.port), timeout=5)
        running.start()
        socket.create_connection((running.host, running.port), timeout=5).close()


def test_a_proxy_can_hang_break_and_refuse_connections(proxy, mosquitto):
    between = proxy(mosquitto.host, mosquitto.port)
    connect = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc"
    with socket.create_connection((between.host, between.port), timeout=0.3) as client:
        between.pause()
        client.sendall(connect)
        with pytest.raises(TimeoutError):
            client.recv(4)
        client.settimeout(30)
        between.resume()
        assert client.recv(4) == b"\x20\x02\x00\x00"
        between.cut()
        assert client.recv(1) == b""
    between.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((between.host, between.port), timeout=5)
    between.accept()
    socket.create_connection((between.host, between.port), timeout=5).close()


def test_micropython_runs_on_the_heap_of_the_device(micropython):
    code = "import sys, gc; print(sys.implementation[0], gc.mem_free() < 98304)"
    assert micropython.run(code).split() == ["micropython", "True"]


def test_waiting_fails_with_what_was_seen_last():
    with pytest.raises(AssertionError, match="last seen: 0"):
        eventually(lambda: 0, timeout=0.05)


def test_waiting_for_a_process_that_ended_fails_immediately_with_its_output(tmp_path):
    process = Process(["sh", "-c", "echo bye; exit 3"], tmp_path / "log")
    begun = time.monotonic()
    with pytest.raises(AssertionError, match="bye"):
        process.wait_for("hello", timeout=30)
    assert time.monotonic() - begun < 20
    assert process.wait() == 3
