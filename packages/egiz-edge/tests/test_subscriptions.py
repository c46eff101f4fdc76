"""A broker that refuses subscriptions: a device that cannot be reached says so."""

import json
from pathlib import Path

import pytest
from rig.device import DEVICE
from rig.live import LiveSubscriber
from rig.servers import Mosquitto
from rig.waiting import eventually

# An access list of Mosquitto 2.0 grants every subscription; its plugin refuses some.
PLUGIN = "mosquitto_dynamic_security.so"
ONLY_ALL = {"acltype": "subscribeLiteral", "topic": "sensors/#", "allow": True}
RULES = {
    "defaultACLAccess": {
        "publishClientSend": True,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    },
    "roles": [{"rolename": "reader", "acls": [ONLY_ALL]}],
    "groups": [{"groupname": "all", "roles": [{"rolename": "reader"}]}],
    "anonymousGroup": "all",
    "clients": [],
}


@pytest.fixture
def refusing(tmp_path):
    (plugin,) = Path("/usr/lib").glob(f"*/{PLUGIN}")
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(RULES))
    lines = f"plugin {plugin}\nplugin_opt_config_file {rules}\n"
    broker = Mosquitto(tmp_path / "broker", lines)
    broker.start()
    yield broker
    broker.kill()


def test_a_refused_subscription_is_in_the_status_and_telemetry_flows(device, refusing):
    live = LiveSubscriber(refusing.host, refusing.port)
    try:
        device(refusing, publish_rate_ms=300)
        eventually(lambda: len(live.messages(DEVICE, "telemetry")) > 2)
        status = live.messages(DEVICE, "status")[-1]
        assert "mqtt:not_subscribed" in status.health.fault_codes
    finally:
        live.close()
