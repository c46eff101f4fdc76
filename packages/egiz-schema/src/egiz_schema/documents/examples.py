"""Payloads as they are on the wire: the requirements' own, and one of each other use.

`TELEMETRY` and `CONFIG` are the examples of wire 1.0, which are accepted for ever.
"""

from typing import Any

Payload = dict[str, Any]

TELEMETRY: Payload = {
    "device_id": "oven-001",
    "timestamp": 1706352600,
    "electrical": {
        "voltage": {"a": 220.5, "b": 219.8, "c": 221.0},
        "current": {"a": 15.2, "b": 14.8, "c": 15.5},
        "power_factor": 0.92,
    },
    "thermal": {"temperature_zones": [185.0, 190.0, 188.5], "setpoint": 190.0},
    "status": {
        "operational_state": "running",
        "wifi_rssi": -65,
        "uptime_seconds": 86400,
    },
}

CONFIG: Payload = {
    "device_id": "oven-001",
    "sampling_rate_ms": 1000,
    "publish_rate_ms": 5000,
    "buffer_size": 100,
    "wifi_ssid": "Factory-IoT",
    "mqtt_broker": "192.168.1.100:1883",
}

BIRTH: Payload = {
    "device_id": "oven-001",
    "state": "online",
    "boot": 12,
    "timestamp": 1706352600,
    "ms": 250,
    "schema": "1",
    "firmware_version": "1.1.0",
    "sensors": ["pzem_a", "pzem_b", "pzem_c", "ds18b20:28ff641e8016044c"],
    "health": {"wifi_rssi": -65, "uptime_seconds": 4, "free_memory_bytes": 141312},
}

# A device that measures what has no field of its own.
COLD_ROOM: Payload = {
    "device_id": "cold-room-001",
    "timestamp": 1706352600,
    "ms": 500,
    "seq": 7,
    "boot": 3,
    "thermal": {"temperature_zones": [3.8], "setpoint": 4.0},
    "values": {"humidity": 82.5},
    "counters": {"door_openings": 41},
    "contacts": {"door": False},
}

COLD_ROOM_BIRTH: Payload = {
    "device_id": "cold-room-001",
    "state": "online",
    "boot": 3,
    "timestamp": 1706352596,
    "ms": 120,
    "schema": "1",
    "firmware_version": "2.0.1",
    "sensors": ["ds18b20:28ff641e8016044c"],
    "channels": {
        "humidity": {"quantity": "humidity"},
        "door_openings": {"quantity": "cycles", "unit": "{opening}"},
        "door": {"quantity": "door"},
    },
}

WILL: Payload = {"device_id": "oven-001", "state": "offline", "boot": 12}

COMMAND: Payload = {
    "device_id": "oven-001",
    "id": "restart-42",
    "action": "restart",
    "expires_at": 1706352660,
}

# What wire 1.0 had, by kind.
FIRST: dict[str, Payload] = {"telemetry": TELEMETRY, "config": CONFIG}

EXAMPLES: dict[str, dict[str, Payload]] = {
    "telemetry": {"reading": TELEMETRY, "cold_room": COLD_ROOM},
    "status": {"birth": BIRTH, "cold_room_birth": COLD_ROOM_BIRTH, "will": WILL},
    "config": {"desired": CONFIG},
    "command": {"restart": COMMAND},
}
