"""The messages: every vector of telemetry and status, each in a facility of its own.

So a point names its vector by its facility, and no point overwrites another.
"""

from collections.abc import Iterator
from typing import NamedTuple

from egiz_schema import EncodeError, Kind, Topic, decode, influx, vectors
from egiz_schema.vectors import Vector

KINDS: tuple[Kind, ...] = ("telemetry", "status")
# Published until it arrives, which it does once both subscribe; and after everything.
FIRST, LAST = (Topic(name, "oven-001", "telemetry") for name in ("first", "last"))
READING = b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1.5}}'


class Case(NamedTuple):
    """A vector and where it is published."""

    topic: Topic
    payload: bytes
    vector: Vector

    @property
    def points(self) -> int:
        """How many egiz-bridge makes of it; it accepts what readers may refuse."""
        if self.vector["verdict"] == "reject":
            return 0
        message = decode(self.topic, self.payload)
        try:
            influx.to_line(influx.to_point(self.topic, message, 0))
        except EncodeError:  # nothing to store, or nothing that this reader knows
            return 0
        return 1

    @property
    def name(self) -> str:
        """As a reader of the vectors finds it."""
        vector = self.vector
        return f"{vector['kind']} {vector['rule']}: {vector['about']}"


def cases() -> Iterator[Case]:
    """All of them."""
    for kind in KINDS:
        for number, vector in enumerate(vectors.load(kind)[1]):
            device_id = vectors.topic_of(vector).device_id
            topic = Topic(f"{kind}-{number}", device_id, kind)
            yield Case(topic, vectors.payload_of(vector), vector)
