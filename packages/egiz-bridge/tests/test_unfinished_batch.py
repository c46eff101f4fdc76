"""A batch is handed on when it has lingered, and at once when nothing can follow."""

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rig import stored
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}'
FIRST_S = 1706352600


@pytest.mark.parametrize("qos", [0, 1])
def test_it_is_stored_when_the_broker_goes_away(mosquitto, bridge, qos):
    running = bridge(mosquitto.url, archive={})
    running.start()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    eventually(client.is_connected)
    for number in range(5):
        client.publish(TOPIC, PAYLOAD % (FIRST_S + number), qos)
    eventually(lambda: running.metrics()["messages_received_total"] == 5)
    mosquitto.kill()
    client.loop_stop()
    eventually(lambda: running.metrics()["sink_written_total/archive"] == 5, timeout=5)
    assert running.metrics()["mqtt_connected"] == 0
    assert len(stored.in_archive(running.archive)) == 5
    assert running.metrics()["sink_unaccounted/archive"] == 0
