"""A type checker knows what the cached functions take and give."""

import subprocess
import sys

WRONG = """\
import egiz_schema as egiz
egiz.parse_topic(5)
egiz.parse_topic("x", 3, nonsense=True)
egiz.influx.series("oops")
topic: int = egiz.parse_topic("sensors/a/b-1/status")
series: int = egiz.influx.series(egiz.parse_topic("sensors/a/b-1/status"))
config: egiz.Config = egiz.decode("sensors/a/b-1/status", b"", egiz.Status)
egiz.decode("sensors/a/b-1/status", b"", int)
egiz.decode("sensors/a/b-1/status", b"").timestamp
egiz.subscription(kind="nonsense")
when: int = egiz.time_of(egiz.decode("sensors/a/b-1/status", b"", egiz.Status))
egiz.delivery_of("telemetry").quality
"""
RIGHT = """\
from datetime import datetime
import egiz_schema as egiz
from egiz_schema import models
topic: egiz.Topic = egiz.parse_topic("sensors/a/b-1/status")
series: bytes = egiz.influx.series(topic)
message: egiz.Message = egiz.decode(topic, bytearray(b"{}"))
again: egiz.Message = egiz.decode(topic, memoryview(b"{}"))
reading: egiz.Telemetry = egiz.decode(topic, b"{}", egiz.Telemetry)
when: datetime = egiz.time_of(reading)
born: datetime | None = egiz.time_of(egiz.decode(topic, b"{}", egiz.Status))
made = egiz.Telemetry(device_id="b-1", **egiz.time_fields(when))
model: models.Telemetry = models.Telemetry.from_struct(made)
back: egiz.Telemetry = model.to_struct()
unit: str = egiz.units("config")["sampling_rate_ms"]
sent: tuple[str, bytes, int, bool] = egiz.publication("a", back)
if isinstance(message, egiz.Command):
    action: str = message.action


class Body(models.Config, extra="forbid"):
    pass
"""


def _checked(tmp_path, text):
    file = tmp_path / "snippet.py"
    file.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file)]
    command.append(f"--cache-dir={tmp_path}/cache")
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def test_a_wrong_argument_or_result_is_found_in_its_line(tmp_path):
    found = _checked(tmp_path, WRONG)
    for line in range(2, 13):
        assert f"snippet.py:{line}: error" in found, found


def test_what_is_right_is_accepted(tmp_path):
    assert "Success" in _checked(tmp_path, RIGHT)
