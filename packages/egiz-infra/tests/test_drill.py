"""Servers of a drill, on a machine that is slow."""

import sys

import pytest
from egiz_infra.drill_servers import retained
from rig.process import require
from rig.publisher import Publisher
from rig.servers import Mosquitto

RETAINED = 5000  # more than a broker holds in a queue by default
# Its socket is there, and half a second later it listens.
SLOW = """\
#!{python}
import os, socket, sys, time
at = open(sys.argv[2]).read().split()[2]
socket.socket(socket.AF_UNIX).bind(at)
time.sleep(0.5)
os.unlink(at)
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""


@pytest.fixture
def saved(tmp_path):
    """The file of a broker that has some retained messages."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    with Publisher(broker) as publisher:
        for n in range(RETAINED):
            publisher.publish(f"sensors/factory/oven-{n}/status", b"{}", retain=True)
    broker.stop()
    return broker.directory / "mosquitto.db"


def test_a_broker_is_asked_when_it_listens(saved, tmp_path, monkeypatch):
    program = require("mosquitto", "apt install mosquitto")
    stand_in = tmp_path / "bin/mosquitto"
    stand_in.parent.mkdir()
    stand_in.write_text(SLOW.format(python=sys.executable, program=program))
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:/usr/bin:/bin")
    assert retained(saved, tmp_path) == RETAINED
