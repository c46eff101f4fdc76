"""Names of the broker and the time server: a real look-up, and none that blocks."""

from pathlib import Path

import pytest
from egiz_edge_tools.virtual_board import Identity, VirtualBoard
from rig.device import DEVICE
from rig.factory_names import FactoryNames
from rig.waiting import eventually

VIRTUAL_TIME = "".join(
    (Path(__file__).parent / "virtual_time" / name).read_text()
    for name in ("clock.py", "run.py")
)
# A look-up by `getaddrinfo` blocks all tasks for half a minute without an answer.
NO_BLOCKING_LOOK_UP = """
import socket, sys
class Strict:
    pass
for name in dir(socket):
    setattr(Strict, name, getattr(socket, name))
def only_addresses(host, *rest, real=socket.getaddrinfo):
    assert host.replace(".", "").isdigit(), "a look-up that blocks: " + host
    return real(host, *rest)
Strict.getaddrinfo = staticmethod(only_addresses)
sys.modules["socket"] = Strict
"""


@pytest.fixture
def names():
    server = FactoryNames(broker="127.0.0.1", time="127.0.0.1")
    yield server
    server.close()


class _Named:
    """A server by its name."""

    def __init__(self, server, host):
        self.host, self.port = host, server.port


def test_the_broker_is_found_by_its_name(device, mosquitto, live, hardware, names):
    hardware.name_servers = [names.address]
    device(_Named(mosquitto, "broker.lan"))
    eventually(lambda: live.messages(DEVICE, "telemetry"))
    assert names.asked[0] == "broker.lan"


def test_this_machines_own_names_are_known_without_a_name_server(
    device, mosquitto, live
):
    device(_Named(mosquitto, "localhost"))
    eventually(lambda: live.messages(DEVICE, "telemetry"))


def test_an_unknown_name_is_reported_as_such(device, mosquitto, hardware, names):
    hardware.name_servers = [names.address]
    running = device(_Named(mosquitto, "brokr.lan"))
    line = "no broker (brokr.lan: unknown to the name server), retry in"
    eventually(lambda: any(line in one for one in running.output))


def test_after_a_power_cut_without_a_name_server_the_last_address_is_used(
    device, mosquitto, live, hardware, names
):
    hardware.name_servers = [names.address]
    first = device(_Named(mosquitto, "broker.lan"))
    eventually(lambda: live.messages(DEVICE, "telemetry"))
    names.is_silent = True
    first.kill()
    second = device(_Named(mosquitto, "broker.lan"))
    eventually(lambda: any(m.boot == 2 for m in live.messages(DEVICE, "telemetry")))
    said = "trying its last good address"  # read from a pipe, maybe a moment later
    eventually(lambda: any(said in line for line in second.output))


@pytest.mark.parametrize(
    ("minutes", "broker_name", "time_name"),
    [
        (60, "broker.lan", "time.lan"),
        (10, "broker.lan", "127.0.0.1"),
        (20, "127.0.0.1", "time.lan"),
    ],
)
def test_in_an_hour_without_name_servers_the_device_samples_and_is_not_reset(  # noqa: PLR0917  # fixtures and parameters
    minutes, broker_name, time_name, mosquitto, live, hardware, names, tmp_path
):
    identity = Identity("factory", DEVICE, broker_name, mosquitto.port, ntp=time_name)
    lines = _run_without(names, minutes, identity, hardware, tmp_path)
    assert lines[-1] == "ended 0", lines
    assert not [line for line in lines if "not feeding" in line or "failed" in line]
    sent = live.messages(DEVICE, "telemetry")
    assert all(m.electrical.voltage.a == 225.7 for m in sent)
    last = sent[-1]
    assert last.seq >= 12 * (minutes + 5) - 3  # one in 5 s, also in the outage
    assert len({m.seq for m in sent}) == last.seq + 1 - last.status.dropped
    if broker_name == "127.0.0.1":
        assert last.status.dropped == 0


def _run_without(names, minutes, identity, hardware, tmp_path):
    """What a device prints: minutes of a silent server, and 6 of one that answers."""
    names.is_silent = True
    hardware.is_clock_set = False
    hardware.watchdog_s = 1e6  # its time is real
    hardware.name_servers = [names.address]
    flash = tmp_path / "flash"
    flash.mkdir()
    head = f"MINUTES, EVERY = {minutes + 6}, 1\n{NO_BLOCKING_LOOK_UP}"
    board = VirtualBoard(identity, hardware, flash, program=head + VIRTUAL_TIME)
    lines = []
    for line in board.lines():
        lines.append(line)
        if line.startswith(f"heap {minutes} "):
            names.is_silent = False
    assert board.close() == 0, lines
    assert board.boots == ["power_on"]
    return lines
