"""The pages for operators say what is so."""

import re

import pytest
from egiz_infra.cli import main
from egiz_infra.limits import Load, derive
from rig.servers import REPOSITORY

DOCS = REPOSITORY / "docs"
SIZES = re.findall(
    r"^\| ([\d,]+) \| ([\d,]+) \| (\d+) s \| (\d+) \| (\d+) MB \|$",
    (DOCS / "operate/sizing.md").read_text(),
    re.MULTILINE,
)


def test_there_are_sizes():
    assert len(SIZES) == 5


@pytest.mark.parametrize("row", SIZES, ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_size_is_what_egiz_infra_limits_derives(row):
    clients, rate, outage, queued, memory = (int(x.replace(",", "")) for x in row)
    found = derive(Load(rate=rate, clients=clients, outage=outage))
    assert found.max_queued_messages == queued
    assert round(found.memory / 1e6) == memory


def test_the_shipped_configuration_is_one_of_them():
    shipped = (REPOSITORY / "infra/mosquitto/mosquitto.conf").read_text()
    (queued,) = re.findall(r"^max_queued_messages (\d+)$", shipped, re.MULTILINE)
    assert SIZES[2][3] == queued


def test_the_commands_of_egiz_infra_exist():
    text = "".join(page.read_text() for page in DOCS.rglob("*.md"))
    named = set(re.findall(r"(?:egiz-infra|run --rm admin) ([a-z-]+)", text))
    assert named >= {"issue", "apply", "renew", "revoke", "list", "account", "limits"}
    assert named <= set(main.commands)


@pytest.mark.parametrize(
    "question", ["Power", "Calibration", "Names", "Network", "Updates", "Thresholds"]
)
def test_what_must_be_decided_before_the_first_device_is_answered(question):
    text = (DOCS / "device/index.md").read_text()
    _, _, answers = text.partition("\n## Decide before the first device\n")
    (answer,) = re.findall(rf"^### {question}\n\n(.*)$", answers, re.MULTILINE)
    assert len(answer.split()) > 5
