"""The pydantic models as the bodies of a real FastAPI application."""

import json
from typing import Annotated

import pytest
from egiz_schema import encode, models
from fastapi import Body, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

TIMESTAMP = 1706352600


class ConfigBody(models.Config, extra="forbid"):
    """What may be asked for: no misspelled member."""


app = FastAPI()


@app.exception_handler(RequestValidationError)
async def refuse(_request, error):
    found = models.problems_in(error.errors(), error.body)
    problems = [{"path": each.path, "reason": each.reason} for each in found]
    return JSONResponse({"problems": problems, "detail": error.errors()}, 422)


@app.put("/config")
def put_config(config: ConfigBody) -> dict[str, str]:
    return {"payload": encode(config.to_struct()).decode()}


@app.post("/telemetry")
def post_telemetry(reading: models.Telemetry) -> models.Telemetry:
    return models.Telemetry.from_struct(reading.to_struct())


@app.post("/status")
def post_status(status: Annotated[models.Status, Body()]) -> models.Status:
    return status


@pytest.fixture(scope="module")
def client():
    with TestClient(app) as client:
        yield client


def _telemetry(**members):
    return {
        "device_id": "oven-001",
        "timestamp": TIMESTAMP,
        "thermal": {"setpoint": 190},
        **members,
    }


def test_a_body_that_is_right_becomes_a_payload(client):
    config = {"device_id": "oven-001", "rev": 7, "alerts": {"x": {"min": 1.5}}}
    answer = client.put("/config", json=config)
    assert answer.status_code == 200
    assert json.loads(answer.json()["payload"]) == config


def test_a_response_is_the_message(client):
    answer = client.post("/telemetry", json=_telemetry(seq=7.0, newer=1))
    assert answer.status_code == 200
    left = {k: v for k, v in answer.json().items() if v not in (None, {}, [])}
    assert left.pop("thermal") == {"temperature_zones": None, "setpoint": 190.0}
    assert left == {
        "device_id": "oven-001",
        "timestamp": TIMESTAMP,
        "v": 1,
        "ms": 0,
        "seq": 7,
        "buffered": False,
    }


@pytest.mark.parametrize(
    ("url", "body", "path", "reason"),
    [
        ("/telemetry", _telemetry(device_id="../#/x"), "$.device_id", None),
        ("/telemetry", _telemetry(device_id="OVEN 1"), "$.device_id", None),
        ("/telemetry", _telemetry(device_id="oven-001\n"), "$.device_id", "charset"),
        ("/telemetry", _telemetry(thermal={}), "$", "empty"),
        (
            "/telemetry",
            _telemetry(thermal={"setpoint": "1"}),
            "$.thermal.setpoint",
            "type",
        ),
        (
            "/telemetry",
            _telemetry(thermal={"temperature_zones": [1, -127]}),
            "$.thermal.temperature_zones[1]",
            "range",
        ),
        ("/telemetry", _telemetry(timestamp=1), "$.timestamp", "range"),
        ("/telemetry", _telemetry(values={"Room": 1}), "$.values<key>", "charset"),
        ("/telemetry", {"device_id": "oven-001"}, "$.timestamp", "missing"),
        ("/telemetry", [], "$", "type"),
        ("/status", {"device_id": "oven-001"}, "$.state", "missing"),
        (
            "/status",
            {"device_id": "oven-001", "state": "online", "ip": "é"},
            "$.ip",
            "charset",
        ),
        (
            "/status",
            {"device_id": "oven-001", "state": "online", "config": {"rev": 1}},
            "$.config.applied",
            "missing",
        ),
        (
            "/config",
            {"device_id": "oven-001", "wifi_ssid": "é" * 17},
            "$.wifi_ssid",
            "range",
        ),
        ("/config", {"device_id": "oven-001", "rate": 1}, "$.rate", "type"),
        (
            "/config",
            {"device_id": "oven-001", "alerts": {"x": {"mim": 1}}},
            "$.alerts.x.mim",
            "type",
        ),
    ],
)
def test_a_body_that_is_wrong_is_422_with_path_and_reason(
    client, url, body, path, reason
):
    answer = client.request("PUT" if url == "/config" else "POST", url, json=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem == {"path": path, "reason": reason or "device_mismatch"}
    # FastAPI's own answer has the same place, and a rule in place of a function's name.
    (detail,) = answer.json()["detail"]
    assert detail["loc"][0] == "body"
    assert "redicate" not in detail["msg"]


def test_all_that_is_wrong_is_named_at_once(client):
    body = _telemetry(ms=1000, electrical={"voltage": {"a": -1, "b": True}})
    answer = client.post("/telemetry", json=body)
    assert answer.json()["problems"] == [
        {"path": "$.ms", "reason": "range"},
        {"path": "$.electrical.voltage.a", "reason": "range"},
        {"path": "$.electrical.voltage.b", "reason": "type"},
    ]


def _component(client, name):
    return client.get("/openapi.json").json()["components"]["schemas"][name]


def test_openapi_says_pattern_unit_meaning_range_and_examples(client):
    config = _component(client, "ConfigBody")["properties"]
    assert config["device_id"] == {
        "type": "string",
        "description": "device_type-unit, as in the topic",
        "minLength": 3,
        "maxLength": 48,
        "pattern": "^[a-z0-9_]+(-[a-z0-9_]+)+$",
    }
    assert config["sampling_rate_ms"]["anyOf"][0] == {
        "type": "integer",
        "description": "Time between two readings",
        "minimum": 100,
        "maximum": 3600000,
        "x-unit": "ms",
    }
    assert config["mqtt_broker"]["anyOf"][0]["description"] == "host:port of the broker"
    health = _component(client, "Health")["properties"]
    known = health["operational_state"]["anyOf"][0]["examples"]
    assert known == ["running", "stopped", "fault"]


def test_openapi_says_which_bodies_have_no_other_members(client):
    assert _component(client, "ConfigBody")["additionalProperties"] is False
    assert _component(client, "ConfigBodyAlert")["additionalProperties"] is False
    assert "additionalProperties" not in _component(client, "Status")
