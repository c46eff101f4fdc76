"""Messages of a factory, written to a database much faster than they would come."""

import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.error import HTTPError

from rig.servers import InfluxQl

_log = logging.getLogger(__name__)

RATE = 200  # messages a second, of devices that send one in five seconds
_DEVICES = 1000
_GROUPS = _DEVICES // RATE
_VARIANTS = 16  # of the noise of a device, so that it does not compress to nothing
_SECONDS_AT_ONCE = 25
_TRIES = 60


class Steps:
    """Logs how long each step took (`-o log_cli=true -o log_cli_level=INFO`)."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()

    def done(self, what: str) -> None:
        """A step has ended, and the next begins."""
        _log.info("%s: %.1f s", what, time.monotonic() - self._begun_s)
        self._begun_s = time.monotonic()


class Total(NamedTuple):
    """What is in a database: how many points, and the sum of their `seq`."""

    points: int
    seqs: int


def fill(database: InfluxQl, write: Callable[[bytes], None], seconds: int) -> Total:
    """Write the messages of the last so many seconds; gives what must be found."""
    end_s = int(time.time()) - 60
    variants = [
        _lines(range(n % _GROUPS, _DEVICES, _GROUPS), n)
        for n in range(_GROUPS * _VARIANTS)
    ]
    all_of_them = range(end_s - seconds, end_s)
    for some in _batches(all_of_them):
        bodies = (variants[s % len(variants)].replace(b"@", b"%d" % s) for s in some)
        _until_accepted(write, b"".join(bodies))
    assert found(database).points <= seconds * RATE
    return Total(seconds * RATE, RATE * sum(all_of_them))


def found(database: InfluxQl) -> Total:
    """Ask it for all of them, by one query."""
    query = 'SELECT count("seq") AS points, sum("seq") AS seqs FROM "telemetry"'
    (row,) = database.query(query)
    return Total(row["points"], row["seqs"])


def _batches(seconds: range) -> Iterator[range]:
    for first in range(0, len(seconds), _SECONDS_AT_ONCE):
        yield seconds[first : first + _SECONDS_AT_ONCE]


def _lines(devices: range, seed: int) -> bytes:
    """One message of each; @ is where its second goes, as `seq`, too."""
    noise = random.Random(seed)
    return "".join(
        f"telemetry,device_id=oven-{number:04},device_type=oven,facility=hall-"
        f"{number % 10} seq=@i,electrical_active_power_a={noise.gauss(900, 50):.1f},"
        f"thermal_temperature_zones_0={noise.gauss(180, 5):.2f} @000\n"
        for number in devices
    ).encode()


def _until_accepted(write: Callable[[bytes], None], lines: bytes) -> None:
    """A database that is too busy answers 5xx, or late: then again, the same points."""
    for tries in itertools.count(1):
        try:
            write(lines)
        except HTTPError as error:
            if error.code < 500 or tries == _TRIES:
                raise
            error.close()
        except TimeoutError:
            if tries == _TRIES:
                raise
        else:
            return
        time.sleep(1)
