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
"""
RIGHT = """\
import egiz_schema as egiz
topic: egiz.Topic = egiz.parse_topic("sensors/a/b-1/status")
series: bytes = egiz.influx.series(topic)
message: egiz.Message = egiz.decode(topic, bytearray(b"{}"))
again: egiz.Message = egiz.decode(topic, memoryview(b"{}"))
"""


def _checked(tmp_path, text):
    file = tmp_path / "snippet.py"
    file.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file)]
    command.append(f"--cache-dir={tmp_path}/cache")
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def test_a_wrong_argument_or_result_is_found_in_its_line(tmp_path):
    found = _checked(tmp_path, WRONG)
    for line in range(2, 7):
        assert f"snippet.py:{line}: error" in found, found


def test_what_is_right_is_accepted(tmp_path):
    assert "Success" in _checked(tmp_path, RIGHT)
