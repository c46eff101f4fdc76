"""The golden vectors: what any reader of the contract, in any language, must say.

``topics.json`` and a file for each kind hold ``{"rules": {id: sentence}, "vectors":
[…]}``. A payload is ``json`` (serialise it as you like), ``text`` (these characters, as
UTF-8) or ``hex`` (these bytes). `verdict` is ``accept``, ``repair`` (readings that are
wrong become absent: `dropped` has path and reason of each), ``reject`` (with `reason`)
or ``either``: a freedom of readers. `point` is what InfluxDB must hold; without
`time_ms`, its time is that of receipt. The device is oven-001, unless `device_id` says
otherwise.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from egiz_schema.address import Topic, parse_topic
from egiz_schema.errors import EgizError
from egiz_schema.repair import Dropped
from egiz_schema.topics import KINDS

Vector = dict[str, Any]


class Mismatch(NamedTuple):
    """A vector to which a reader says something else."""

    vector: Vector
    said: str


def load(name: str) -> tuple[dict[str, str], list[Vector]]:
    """Rules and vectors of ``topics`` or of a kind.

    Raises:
        FileNotFoundError: there is no such file.
    """
    document = json.loads((files(__name__) / f"{name}.json").read_text())
    return document["rules"], document["vectors"]


def payload_of(vector: Vector) -> bytes:
    """The bytes of a vector of a kind."""
    if "json" in vector:
        return json.dumps(vector["json"]).encode()
    if "text" in vector:
        return str(vector["text"]).encode()
    return bytes.fromhex(vector["hex"])


def topic_of(vector: Vector) -> Topic:
    """Where a vector of a kind arrives."""
    return Topic("factory", vector.get("device_id", "oven-001"), vector["kind"])


def mismatches(
    decode: Callable[[Topic, bytes], tuple[object, Sequence[Dropped]]],
) -> Iterator[Mismatch]:
    """Hold a reader to all vectors: topics with `parse_topic`, payloads with `decode`.

    Args:
        decode: gives a message and what was dropped from it, as
            `egiz_schema.decode_with_dropped` does, or raises an EgizError with the
            reason.
    """
    for vector in load("topics")[1]:
        yield from _compared(vector, lambda v: (parse_topic(v["topic"]), ()))
    for kind in KINDS:
        for vector in load(kind)[1]:
            yield from _compared(vector, lambda v: decode(topic_of(v), payload_of(v)))


def verdict_of(vector: Vector) -> str:
    """What must be said of a vector, as ``repair $.electrical range``."""
    dropped = (f"{part['path']} {part['reason']}" for part in vector.get("dropped", ()))
    reason = [vector["reason"]] if "reason" in vector else []
    return " ".join([vector["verdict"], *reason, *dropped])


def _compared(
    vector: Vector, read: Callable[[Vector], tuple[object, Sequence[Dropped]]]
) -> Iterator[Mismatch]:
    try:
        _, dropped = read(vector)
    except EgizError as error:
        said = f"reject {error.reason}"
    else:
        parts = [f"{path} {reason}" for path, reason in dropped]
        said = " ".join(["repair", *parts]) if parts else "accept"
    if verdict_of(vector) not in {said, "either"}:
        yield Mismatch(vector, said)
