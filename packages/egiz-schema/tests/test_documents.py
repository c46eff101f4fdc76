"""The generated documents are what the code renders, for every kind."""

import json
import re
from typing import get_args

import msgspec
from egiz_schema import (
    Command,
    Config,
    Message,
    Status,
    Telemetry,
    Topic,
    decode,
    vectors,
)
from egiz_schema.codec import TYPES
from egiz_schema.documents import DELIVERY, DIRECTORY, render, write
from egiz_schema.documents.examples import EXAMPLES
from egiz_schema.documents.fields import fields
from rig.documents import KINDS


def topic(kind):
    return Topic("factory", "oven-001", kind)


def test_the_files_are_what_the_code_renders():
    on_disk = {path.name: path.read_text("utf-8") for path in DIRECTORY.iterdir()}
    rendered = render()
    assert on_disk.keys() == rendered.keys(), "run `egiz-schema generate`"
    for name, text in rendered.items():
        assert on_disk[name] == text, f"{name} is stale: run `egiz-schema generate`"


def test_write_makes_the_directory_and_returns_the_files(tmp_path):
    written = write(tmp_path / "new" / "v1")
    assert {path.name: path.read_text("utf-8") for path in written} == render()
    assert {path.parent for path in written} == {tmp_path / "new" / "v1"}


def test_every_example_is_a_message_of_the_contract():
    for kind, examples in EXAMPLES.items():
        for payload in examples.values():
            address = Topic("factory", payload["device_id"], kind)
            message = decode(address, json.dumps(payload).encode())
            # Nothing in it is unknown or of another type.
            assert msgspec.to_builtins(message) == payload


def test_every_kind_of_message_is_documented():
    assert set(get_args(Message)) == {Telemetry, Status, Config, Command}
    assert set(TYPES) == set(DELIVERY) == set(EXAMPLES) == set(KINDS)
    assert all(fields(kind) for kind in KINDS)


def test_the_rules_are_those_of_the_vectors_with_what_each_shows():
    rows = re.findall(
        r"^\| ([A-Z]+-\d+) \| (.*) \|$", render()["rules.md"], re.MULTILINE
    )
    expected = {}
    for name in ("topics", *KINDS):
        expected |= vectors.load(name)[0]
    assert {rule: row.split(" | ")[0] for rule, row in rows} == expected
    assert (
        dict(rows)["WIRE-5"]
        == "an object names each member once | 1 |  | 4 `duplicate` | "
    )
