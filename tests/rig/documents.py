"""Payloads that have each member, which the tests of the documents share."""

import copy
from typing import Any, get_args

from egiz_schema import Kind
from egiz_schema.documents.examples import BIRTH, TELEMETRY
from egiz_schema.documents.fields import Field, fields

KINDS = get_args(Kind)
FULL_HEALTH = {
    "operational_state": "running",
    "wifi_rssi": -60,
    "uptime_seconds": 10,
    "free_memory_bytes": 1000,
    "buffer_depth": 1,
    "dropped": 2,
    "time_synced": False,
    "fault_codes": ["a", "b"],
    "samples": 1,
    "samples_expected": 5,
}
# As the tests know it, value by value; `FULL` has what is new, too.
GIVEN = {
    "telemetry": {
        **TELEMETRY,
        "v": 1,
        "ms": 5,
        "seq": 7,
        "boot": 3,
        "buffered": True,
        "electrical": {
            **TELEMETRY["electrical"],
            "frequency": 50.0,
            "active_power": {"a": 1.0, "b": 2.0, "c": 3.0},
            "energy_wh": {"a": 1, "b": 2, "c": 3},
        },
        "values": {"name": 55.5},
        "counters": {"name": 12},
        "contacts": {"name": True},
        "status": FULL_HEALTH,
    },
    "status": {
        **BIRTH,
        "v": 1,
        "reset_cause": "power",
        "ip": "192.168.1.7",
        "config": {
            "rev": 4,
            "applied": False,
            "error": "range",
            "crc": 1,
            "refused": {"rev": 5, "crc": 2, "error": "range"},
        },
        "last_command": {"id": "1", "result": "failed", "error": "busy"},
        "health": FULL_HEALTH,
        "sensors": ["pzem_a", "ds18b20:28ff"],
        "ota": {"state": "loading", "version": "2", "progress": 3, "error": "crc"},
        "board": "a0b1c2d3e4f5",
        "can": ["ota", "portal"],
        "channels": {"name": {"quantity": "humidity", "unit": "%"}},
    },
}


def _completed(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """`given`, and a value for each other field: a new one needs no edit here."""
    document = copy.deepcopy(given)
    for field in fields(kind):
        if any(name == "*" or name.endswith("[]") for name in field.path):
            continue  # of a group that is given
        *groups, name = field.path
        group = document
        for each in groups:
            group = group.setdefault(each, {})
        group.setdefault(name, _value(field))
    return document


def _value(field: Field) -> object:
    if field.type == "boolean":
        return True
    if field.type == "string":
        return field.known[0] if field.known else "text"
    lowest = field.minimum if field.minimum is not None else 0
    return int(lowest) + 1 if field.type == "integer" else lowest + 0.5


FULL = {kind: _completed(kind, given) for kind, given in GIVEN.items()}
