"""A restore of InfluxDB 2.8 finishes and has every point: by files, or by `influx`.

A day of messages is a soak of eight minutes: `hatch run engines -m soak FILE`.
"""

import re
import shutil
import subprocess

import pytest
from rig import day
from rig.servers import REPOSITORY

from engines.cache import found
from engines.influxdb import ADMIN_TOKEN, InfluxDb2

pytestmark = pytest.mark.timeout(3600)
SECONDS = [
    pytest.param(600, id="ten minutes"),
    pytest.param(86_400, id="a day", marks=pytest.mark.soak),
]


class Database(InfluxDb2):
    answers_within_s = 90


@pytest.fixture
def database(tmp_path, started):
    return started(Database(tmp_path / "influxdb"))


def _influx(database, *arguments):
    env = {
        "HOME": str(database.directory),
        "INFLUX_HOST": database.url,
        "INFLUX_TOKEN": ADMIN_TOKEN,
    }
    command = [found("influxdb", "influx"), *arguments]
    subprocess.run(command, env=env, check=True, capture_output=True)


def _commands():
    """Those of the page: to back up, and to restore."""
    text = (REPOSITORY / "docs/operate/backup.md").read_text()
    return re.findall(r" influx (\S.*) /var/lib/influxdb2/monday'", text)


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_copy_of_its_volume_while_it_is_stopped_has_every_point(
    database, tmp_path, seconds
):
    steps = day.Steps()
    written = day.fill(database, database.write, seconds)
    steps.done(f"{written.points:,} points written")
    database.stop()
    shutil.copytree(database.directory, tmp_path / "kept")
    steps.done("backup")
    shutil.rmtree(database.directory)
    shutil.copytree(tmp_path / "kept", database.directory)
    database.start()
    steps.done("restore")
    assert day.found(database) == written
    steps.done("one query of all points")


@pytest.mark.parametrize("seconds", SECONDS)
def test_influx_restores_every_point_and_the_tokens_into_a_new_database(
    database, started, tmp_path, seconds
):
    steps = day.Steps()
    written = day.fill(database, database.write, seconds)
    steps.done(f"{written.points:,} points written")
    backup, restore = (one.split() for one in _commands())
    _influx(database, *backup, tmp_path / "backup")
    size = sum(path.stat().st_size for path in (tmp_path / "backup").iterdir())
    steps.done(f"backup of {size:,} bytes")
    database.kill()
    new = started(Database(tmp_path / "new"))
    # The volumes of the tokens are copied; those of the new database are void.
    shutil.copy(database.read_token, new.read_token)
    steps.done("a new database")
    _influx(new, *restore, tmp_path / "backup")
    steps.done("restore")
    assert day.found(new) == written
    steps.done("one query of all points")
