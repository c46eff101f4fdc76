"""The script that one would write: paho-mqtt, json, influxdb-client; acks at last.

`paho_influx.py MQTT_PORT INFLUX_URL MESSAGES`: writes that many, then ends.
"""

import json
import sys
import time

import paho.mqtt.client as paho
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from paho.mqtt.enums import CallbackAPIVersion

BATCH = 1000
LINGER_S = 0.25

port, url, wanted = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
writer = InfluxDBClient(url, "-", org="egiz").write_api(write_options=SYNCHRONOUS)
points: list[dict[str, object]] = []
packets: list[paho.MQTTMessage] = []
done = 0


def flatten(prefix: str, value: object, into: dict[str, object]) -> None:
    """Paths joined by underscores, as Telegraf's JSON parser does."""
    if isinstance(value, dict):
        for name, item in value.items():
            flatten(f"{prefix}_{name}" if prefix else name, item, into)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            flatten(f"{prefix}_{index}", item, into)
    else:
        into[prefix] = float(value) if isinstance(value, int) else value


def on_message(client: paho.Client, _data: object, packet: paho.MQTTMessage) -> None:
    """Collect a batch."""
    message = json.loads(packet.payload)
    _, facility, device_id, kind = packet.topic.split("/")
    fields: dict[str, object] = {}
    time_ms = message.pop("timestamp") * 1000 + message.pop("ms", 0)
    flatten("", message, fields)
    del fields["device_id"]
    tags = {"facility": facility, "device_id": device_id}
    points.append(
        {"measurement": kind, "tags": tags, "fields": fields, "time": time_ms}
    )
    packets.append(packet)
    if len(points) >= BATCH or done + len(points) >= wanted:
        flush(client)


def flush(client: paho.Client) -> None:
    """Write the batch; acknowledge it."""
    global done  # noqa: PLW0603  # a script
    writer.write("factory", record=points, write_precision=WritePrecision.MS)  # type: ignore[arg-type]  # its own constant
    for written in packets:
        client.ack(written.mid, written.qos)
    done += len(packets)
    points.clear()
    packets.clear()
    if done >= wanted:
        client.disconnect()


client = paho.Client(
    CallbackAPIVersion.VERSION2, "peer", clean_session=False, manual_ack=True
)
client.on_message = on_message
client.on_connect = lambda client, *_: client.subscribe("sensors/#", 1)
client.on_subscribe = lambda client, *_: None if wanted else client.disconnect()
client.connect("127.0.0.1", port)
flush_due = 0.0
while client.loop(0.1) == paho.MQTT_ERR_SUCCESS:
    if not points:
        flush_due = time.monotonic() + LINGER_S
    elif time.monotonic() > flush_due:
        flush(client)
