"""A new field takes the edits of CONTRIBUTING; one that is forgotten is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = "packages/egiz-schema/src/egiz_schema"
TESTS = "packages/egiz-schema/tests"
COPIED = (SOURCE, TESTS, "tests/rig", "tests/infra", "infra", "conftest.py")
# File, what is there, what is put in its place.
TYPE_AND_FIELD = (
    (
        f"{SOURCE}/types.py",
        "Number = Annotated[float,",
        """Humidity = Annotated[float, *_between((0, 100), "%", "Relative humidity")]
Number = Annotated[float,""",
    ),
    (
        f"{SOURCE}/messages.py",
        "    setpoint: t.Celsius | None = None\n",
        """    setpoint: t.Celsius | None = None
    humidity: t.Humidity | None = None
""",
    ),
)
VECTOR = """\
 "vectors": [
  {"rule": "TEL-7", "about": "humid", "kind": "telemetry", "verdict": "accept",
   "json": {"device_id": "oven-001", "timestamp": 1706352600,
            "thermal": {"humidity": 40.0}},
   "point": {"time_ms": 1706352600000, "fields": {"thermal_humidity": 40.0}}},
"""
OTHERS = (
    (
        f"{SOURCE}/documents/home_assistant.py",
        '    "setpoint": "temperature",\n',
        '    "setpoint": "temperature",\n    "humidity": "humidity",\n',
    ),
    (
        "infra/telegraf/telegraf.conf",
        '"thermal_setpoint",',
        '"thermal_setpoint", "thermal_humidity",',
    ),
    (
        f"{SOURCE}/vectors/telemetry.json",
        ' "vectors": [\n',
        VECTOR,
    ),
)
HELD = (
    *(f"{TESTS}/test_{name}.py" for name in ("documents", "dictionary", "vectors")),
    *(f"{TESTS}/test_{name}.py" for name in ("home_assistant", "json_schema", "gate")),
    "tests/infra/test_telegraf.py",
)
# What needs a server, or is about more than fields.
APART = "not influxdb and not makes_the_point"
BY_NAME = (
    "files_are_what or each_number_of_telemetry or each_list_of_fields or "
    "every_field_is_in_a_vector"
)


@pytest.fixture
def copy(tmp_path):
    """A checkout with what is about fields."""
    for name in COPIED:
        to = tmp_path / name
        to.parent.mkdir(parents=True, exist_ok=True)
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, to)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _edit(directory, edits):
    for name, old, new in edits:
        path = directory / name
        text = path.read_text()
        assert text.count(old) == 1, (name, old)
        path.write_text(text.replace(old, new))


def _run(directory, *arguments):
    env = {**os.environ, "PYTHONPATH": str(directory / SOURCE / "..")}
    env.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def _test(directory, which):
    options = ("-q", "-p", "no:cacheprovider", "-n", "0", "-k", which)
    return _run(directory, "pytest", *HELD, *options)


@pytest.mark.timeout(400)
def test_a_field_needs_five_edits_and_each_that_is_forgotten_is_named(copy):
    _edit(copy, TYPE_AND_FIELD)
    forgotten = _test(copy, BY_NAME)
    for sentence in (
        "telemetry.schema.json is stale: run `egiz-schema generate`",
        "add {'humidity'} to CLASSES of documents/home_assistant.py",
        "add to fieldinclude of infra/telegraf/telegraf.conf",
        "add a vector with telemetry.thermal.humidity to vectors/telemetry.json",
    ):
        assert f"AssertionError: {sentence}" in forgotten.stdout, forgotten.stdout
    _edit(copy, OTHERS)
    assert _run(copy, "egiz_schema", "generate").returncode == 0
    whole = _test(copy, APART)
    assert whole.returncode == 0, whole.stdout
    edits = len(TYPE_AND_FIELD + OTHERS)
    assert edits == 5
    assert "A number of telemetry takes five edits" in (
        ROOT / "CONTRIBUTING.md"
    ).read_text().replace("\n", " ")
