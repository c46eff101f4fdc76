"""What others have written does not reach a terminal as it is."""

import contextlib
import io
import json
import socket
import threading

import pytest
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.cli import tail
from egiz_bridge.cli.live import LiveMessage
from egiz_bridge.config import settings
from egiz_bridge.errors import ConfigError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt.packets import Publish
from egiz_bridge.pipeline import intake as module
from egiz_bridge.pipeline.intake import Intake
from egiz_bridge.printable import printable
from egiz_bridge.sinks.archive import ArchiveTable
from egiz_bridge.spool import Spool
from rich.console import Console
from rig.waiting import eventually
from structlog.testing import capture_logs

EVIL = "sensors/f/\x1b]0;title\x07\x1b[2J\nall is well\u202e/telemetry"
SHOWN = r"sensors/f/\x1b]0;title\x07\x1b[2J\nall is well\u202e/telemetry"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (EVIL, SHOWN),
        ("Ofen-ä-炉", "Ofen-ä-炉"),
        ("a" * 120, "a" * 120),
        ("a" * 60_000, "a" * 120 + "..."),
        ("\udcff", r"\udcff"),
    ],
)
def test_a_text_is_shown_in_one_short_line(text, shown):
    assert printable(text) == shown


def test_dlq_shows_topics_escaped_and_cut(bridge, launch, tmp_path):
    running = bridge("mqtt://127.0.0.1:1", spool={"path": str(tmp_path / "s.sqlite")})
    with contextlib.closing(Spool(tmp_path / "s.sqlite", 2**20)) as spool:
        spool.dead_letters.add(
            [
                DeadLetter(Message(EVIL, b"x", 0), "bad_topic", "why \x1b[2J"),
                DeadLetter(Message("t" * 60_000, b"x", 0), "bad_topic", "why"),
            ]
        )
    for command in ("list", "show 1"):
        words = ["egiz-bridge", "dlq", *command.split()]
        ended = launch(*words, "--config", str(running.config))
        assert ended.wait(20) == 0
        output = ended.output()
        assert SHOWN in output
        assert "\x1b" not in output
        assert max(map(len, output.splitlines())) < 220


def test_tail_shows_no_control_characters():
    seen = LiveMessage(EVIL, 0.0, None, "bad_topic", "why \x1b[2J")
    output = io.StringIO()
    console = Console(file=output, soft_wrap=True, force_terminal=False)
    console.print(tail._line(seen))  # noqa: SLF001  # what it prints of each message
    assert SHOWN in output.getvalue()
    assert r"why \x1b[2J" in output.getvalue()


def test_a_problem_of_the_configuration_has_no_control_characters(tmp_path):
    config = tmp_path / "bridge.toml"
    config.write_text('[mqtt]\n"\\u001b[2J\\u0007" = 1\n')
    with pytest.raises(ConfigError) as raised:
        settings.load(config)
    (problem,) = raised.value.problems
    assert problem.startswith(r"mqtt.\x1b[2J\x07: no such key")


def test_the_log_has_no_control_characters_of_a_topic(bridge):
    topic = EVIL.encode()
    body = len(topic).to_bytes(2, "big") + topic + b"\0x"
    publish = b"\x30" + bytes([len(body)]) + body

    def serve():
        with server.accept()[0] as client:
            client.recv(4096)
            client.sendall(b"\x20\x03\0\0\0")  # CONNACK
            client.recv(4096)
            client.sendall(b"\x90\x04\0\x01\0\x01" + publish)  # SUBACK
            client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        running = bridge(f"mqtt://127.0.0.1:{server.getsockname()[1]}", archive={})
        running.start()
        eventually(lambda: "message rejected" in running.log)
        assert running.stop() == 0
    assert "\x1b" not in running.log
    assert r"\x1b]0;title" in running.log
    assert not [line for line in running.log.splitlines() if line.startswith("all is")]


def test_the_log_says_when_it_logs_no_more_rejects(monkeypatch):
    monkeypatch.setattr(module, "_LOGGED_MAX", 10)
    intake = Intake(Ledger(), Devices(), lambda _: None)
    intake.configure([ArchiveTable()])
    with capture_logs() as logs:
        for number in range(30):
            topic = f"sensors/factory/oven-{number}/telemetry".encode()
            payload = json.dumps({"device_id": "other"}).encode()
            intake.receive([Publish(topic, payload, 0, 0)], 0)
    events = [line["event"] for line in logs]
    assert sum(event.startswith("message rejected") for event in events) == 10
    assert sum("not logged one by one any more" in event for event in events) == 1
