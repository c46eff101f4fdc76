"""Each reason has one sentence, and whatever refuses something uses it."""

from math import nan
from pathlib import Path

import pytest
from egiz_schema import (
    Topic,
    cli,
    decode,
    encode,
    explain,
    influx,
    messages,
    models,
    parse_topic,
)
from egiz_schema.documents import render
from egiz_schema.errors import EgizError, reasons

PACKAGES = Path(__file__).parents[2]
CODES = sorted({code for codes in reasons().values() for code in codes})
TOPIC = "sensors/factory/oven-001/telemetry"
READING = messages.Thermal(setpoint=1.0)
TWO_READINGS = messages.Thermal(setpoint=nan, temperature_zones=[1.0])


def test_each_reason_has_exactly_one_sentence():
    sentences = [explain(code) for code in CODES]
    assert len(set(sentences)) == len(CODES) > 15
    for sentence in sentences:
        assert sentence.isascii()
        assert not sentence.endswith(".")


def test_a_reason_that_does_not_exist_is_named():
    with pytest.raises(KeyError, match="bad_device"):
        explain("bad_device")


def test_the_rules_document_has_the_sentence_of_each_reason():
    for code in CODES:
        assert f"| `{code}` | {explain(code)} |" in render()["rules.md"]


@pytest.mark.parametrize("code", CODES)
def test_the_command_explains_a_reason(code, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", code])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{code}: {explain(code)}\n"


def _telemetry(**members):
    fields = {"device_id": "oven-001", "timestamp": 1706352600, "thermal": READING}
    return messages.Telemetry(**fields | members)


@pytest.mark.parametrize(
    ("refuse", "code"),
    [
        (lambda: parse_topic("x/factory/oven-001/status"), "wrong_root"),
        (lambda: parse_topic("sensors/oven-001/status"), "wrong_levels"),
        (lambda: parse_topic("sensors/A/oven-001/status"), "bad_facility"),
        (lambda: parse_topic("sensors/a/oven/status"), "bad_device_id"),
        (lambda: parse_topic("sensors/a/oven-001/x"), "unknown_kind"),
        (lambda: decode(TOPIC, b""), "no_payload"),
        (lambda: decode(TOPIC, b" " * 5000), "too_large"),
        (lambda: decode(TOPIC, b"[" * 17 + b"]" * 17), "too_deep"),
        (lambda: decode(TOPIC, b'{"a":1,"a":1}'), "duplicate"),
        (
            lambda: decode(TOPIC, b'{"device_id":"oven-001","timestamp":1706352600}'),
            "empty",
        ),
        (
            lambda: decode(TOPIC, encode(_telemetry(device_id="oven-002"))),
            "device_mismatch",
        ),
        (
            lambda: models.decode(TOPIC, encode(_telemetry(device_id="oven-002"))),
            "device_mismatch",
        ),
        (lambda: decode(TOPIC, b'{"v":2}'), "unsupported_version"),
        (lambda: encode(_telemetry(device_id="oven")), "bad_device_id"),
        (
            lambda: encode(_telemetry(thermal=TWO_READINGS)),
            "not_finite",
        ),
        (
            lambda: encode(
                _telemetry(status=messages.Health(operational_state="\u00e9"))
            ),
            "charset",
        ),
        (
            lambda: influx.to_line(
                influx.Point("telemetry", "f", "oven", "oven-1", 0, {"a": "\n"})
            ),
            "charset",
        ),
    ],
)
def test_an_error_says_the_sentence_of_its_reason(refuse, code):
    with pytest.raises(EgizError) as refused:
        refuse()
    assert refused.value.reason == code
    assert explain(code) in str(refused.value)


def test_no_package_words_the_rule_of_an_identity_again():
    for path in PACKAGES.glob("*/src/**/*.py"):
        text = path.read_text()
        if path.name == "errors.py" and path.parent.name == "egiz_schema":
            continue
        assert "words of a-z" not in text, path
        assert "type-unit of" not in text, path


def test_an_error_of_an_identity_names_what_was_given():
    with pytest.raises(EgizError, match="'f/Oven 1/status'"):
        Topic("f", "Oven 1", "status")
