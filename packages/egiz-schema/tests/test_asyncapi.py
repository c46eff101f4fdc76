"""The AsyncAPI document says topics and delivery; its own parser reads it."""

import json

from egiz_schema.codec import TYPES
from egiz_schema.documents import DELIVERY, render
from egiz_schema.documents.examples import EXAMPLES, WILL
from egiz_schema.documents.json_schema import json_schema
from rig.documents import KINDS


def asyncapi():
    return json.loads(render()["asyncapi.json"])


def test_asyncapi_has_topics_and_delivery_as_required():
    document = asyncapi()
    found = {}
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        binding = operation["bindings"]["mqtt"]
        found[channel] = (operation["action"], binding["qos"], binding["retain"])
    assert found == {
        "telemetry": ("send", 1, True),
        "status": ("send", 1, True),
        "config": ("receive", 1, True),
        "command": ("receive", 1, False),
    }
    assert found == {k: (d.action, d.qos, d.retain) for k, d in DELIVERY.items()}
    for kind, channel in document["channels"].items():
        assert channel["address"] == f"sensors/{{facility}}/{{device_id}}/{kind}"
        assert channel["parameters"] == {
            "facility": {"description": "1-32 characters, words joined by hyphens."},
            "device_id": {
                "description": "`{device_type}-{unit}`, 3-48 characters.",
            },
        }


def test_asyncapi_has_the_last_will():
    will = asyncapi()["servers"]["broker"]["bindings"]["mqtt"]["lastWill"]
    assert json.loads(will.pop("message")) == WILL
    assert will == {
        "topic": "sensors/{facility}/{device_id}/status",
        "qos": 1,
        "retain": True,
    }


def test_asyncapi_has_the_schemas_and_examples():
    document = asyncapi()["components"]
    assert set(document["messages"]) == set(KINDS)
    for kind, message in document["messages"].items():
        assert message["payload"] == {
            "$ref": f"#/components/schemas/{TYPES[kind].__name__}"
        }
        examples = {each["name"]: each["payload"] for each in message["examples"]}
        assert examples == EXAMPLES[kind]
    schemas = document["schemas"]
    assert (
        schemas["Thermal"]["properties"]
        == (json_schema("telemetry")["$defs"]["Thermal"]["properties"])
    )
