"""`egiz-schema validate` reads what `mosquitto_sub` prints, in any of its formats."""

import json
import random
import subprocess

import pytest
from egiz_schema.cli.traffic import BYTES_MAX, messages
from rig.process import own_program, require

TOPIC = "sensors/factory/oven-001/telemetry"
OTHER = "sensors/factory/oven-002/telemetry"
GOOD = '{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":190.0}}'
PRETTY = json.dumps(json.loads(GOOD), indent=2)
ZONES = '{"device_id":"oven-001","timestamp":1706352600,"thermal":{"temperature_zones":'


def _read(text):
    lines = (text if isinstance(text, bytes) else text.encode()).splitlines(
        keepends=True
    )
    return [tuple(each) for each in messages(lines)]


def _topics_and_documents(text):
    return [(topic, json.loads(payload)) for _, topic, payload in _read(text)]


@pytest.mark.parametrize(
    "payload",
    [
        GOOD,
        PRETTY,
        PRETTY.replace("\n", "\r\n"),
        PRETTY.replace("\n", "\n\n"),
        PRETTY.replace("  ", "\t"),
        PRETTY.replace("  ", ""),  # each line begins at the margin
        PRETTY.replace("\n", "\n \t\r\n"),
        f"\n\n{PRETTY}\n\n",
        f"{ZONES}[\n1,\n2,\nnull\n,\n-3.5]}}}}",
        f"{ZONES}\n[1]\n}}\n}}",
        GOOD.replace(":190.0", ':190,"note":"}]{["'),
        GOOD.replace(":190.0", ':190,"url":"http://x/y z"'),
        PRETTY.replace("190.0", '190.0,\n"a":"sensors/x/y-1/status {",\n"b":"\\"}"'),
        "[\n1,\n[2\n]\n]",
    ],
)
def test_a_payload_of_any_layout_is_one_message_and_the_next_is_another(payload):
    expected = [(TOPIC, json.loads(payload)), (OTHER, json.loads(GOOD))] * 2
    for end in ("\n", "\r\n"):
        text = f"{TOPIC} {payload}{end}{OTHER} {GOOD}{end}" * 2
        assert _topics_and_documents(text) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", " "),
        ("", "\t"),
        ("2024-01-27T10:50:00+0000 ", " "),  # %I %t %p
        ("1706352600.123456 ", " "),  # %U %t %p
        ("1 0 17 ", " "),  # %q %r %l %t %p
        ("[2024-01-27T10:50:00] ", "   "),
    ],
)
@pytest.mark.parametrize("payload", [GOOD, PRETTY])
def test_what_f_prints_before_the_topic_is_no_part_of_it(before, after, payload):
    text = f"{before}{TOPIC}{after}{payload}\n" * 2
    assert _topics_and_documents(text) == [(TOPIC, json.loads(payload))] * 2


def test_the_json_formats_of_mosquitto_sub_are_read():
    escaped = json.dumps({"tst": "x", "topic": TOPIC, "qos": 1, "payload": PRETTY})
    embedded = json.dumps({"topic": OTHER, "payload": json.loads(GOOD)})
    laid_out = json.dumps(json.loads(escaped), indent=2)
    cleared = json.dumps({"topic": OTHER, "payload": None})
    text = f"{escaped}\n{embedded}\n{laid_out}\n{cleared}"
    found = _read(text)
    assert [topic for _, topic, _ in found] == [TOPIC, OTHER, TOPIC, OTHER]
    assert [json.loads(payload) for *_, payload in found[:3]] == [json.loads(GOOD)] * 3
    assert found[3][2] == b""


def test_a_retained_message_that_was_cleared_has_no_payload():
    text = f"{TOPIC} (null)\n{TOPIC} \n{TOPIC}\n{OTHER} {GOOD}\n{TOPIC} \n"
    found = _read(text)
    assert [payload for *_, payload in found] == [b"", b"", b"", GOOD.encode(), b""]
    assert [number for number, *_ in found] == [1, 2, 3, 4, 5]


def test_a_topic_with_spaces_is_reported_as_a_whole():
    text = f"sensors/my hall/oven-001/telemetry {PRETTY}\n{TOPIC} {GOOD}\n"
    assert _topics_and_documents(text) == [
        ("sensors/my hall/oven-001/telemetry", json.loads(GOOD)),
        (TOPIC, json.loads(GOOD)),
    ]


def test_a_payload_that_is_no_json_does_not_change_its_topic():
    assert _read(f"{TOPIC} open {{ and so on\n{TOPIC} {GOOD}\n") == [
        (1, TOPIC, b"open { and so on"),
        (2, TOPIC, GOOD.encode()),
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe{[\x80",
        b"{" * 50,
        b"\x1f\x8b\x08[[[",
        b'"""{',
        b"\xff\xfe\xff",
        b"   ",
        TOPIC.encode() + b" \x00\xff{[\x80",
        TOPIC.encode() + b' {"a":[',
        b"sensors/\xff\xfe{/\x80 {{",
    ],
)
def test_garbage_between_lines_hides_no_message(garbage):
    line = f"{TOPIC} {PRETTY}\n".encode()
    found = _read(line + garbage + b"\n" + line)
    assert (found[0][1], json.loads(found[0][2])) == (TOPIC, json.loads(GOOD))
    assert (found[-1][1], json.loads(found[-1][2])) == (TOPIC, json.loads(GOOD))
    assert len(found) == 2 + bool(garbage.strip())


@pytest.mark.parametrize("part", [b"x", b"/", b"x ", b"x/", b"{", b"[", b'"', b"\\"])
def test_a_long_line_takes_time_that_grows_with_its_size(part):
    """A pattern that began again at each byte would need minutes."""
    line = part * (BYTES_MAX // len(part)) + b"\n"
    good = f"{TOPIC} {GOOD}\n".encode()
    found = _read(line * 20 + good)
    assert found[-1][1:] == (TOPIC, GOOD.encode())


def test_no_bytes_end_it_and_a_good_line_after_them_is_found():
    rng = random.Random(5)
    pieces = [
        *b'{ } [ ] " / \\'.split(b" "),
        b" ",
        b"\n",
        b"\r\n",
        b"\xff",
        b"sensors/",
    ]
    pieces += [TOPIC.encode(), GOOD.encode(), PRETTY.encode(), b"(null)", b'{"topic":']
    for _ in range(3000):
        noise = b"".join(rng.choices(pieces, k=rng.randint(1, 12)))
        found = _read(noise + b"\n" + f"{TOPIC} {GOOD}\n".encode())
        assert found[-1][1:] == (TOPIC, GOOD.encode()), noise


FORMATS = {
    "-v": ["-v"],
    "%t %p": ["-F", "%t %p"],
    "%I %t %p": ["-F", "%I %t %p"],
    "%U %q %r %t %p": ["-F", "%U %q %r %t %p"],
    "%j": ["-F", "%j"],
    "%J": ["-F", "%J"],
}


@pytest.mark.parametrize("arguments", FORMATS.values(), ids=FORMATS)
def test_a_real_mosquitto_sub_is_read_in_any_format(mosquitto, tmp_path, arguments):
    address = ["-h", mosquitto.host, "-p", str(mosquitto.port)]
    subscriber = require("mosquitto_sub", "apt install mosquitto-clients")
    session = [subscriber, *address, "-i", "watcher", "-c", "-q", "1"]
    # The broker keeps what is published from now on.
    subprocess.run([*session, "-t", "sensors/#", "-E"], check=True, timeout=60)
    published = [PRETTY, GOOD.replace("190.0", "-127000"), "[\n1,\n2\n]", PRETTY]
    for payload in published:
        _publish(address, payload)
    output = tmp_path / "traffic"
    with output.open("wb") as file:
        command = [*session, "-t", "sensors/#", *arguments, "-C", "4"]
        subprocess.run(command, check=True, stdout=file, timeout=60)
    done = subprocess.run(
        [own_program("egiz-schema"), "validate", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "4 read, 2 not of the contract\n", output.read_text()
    problems = [line.split(": ")[1] for line in done.stdout.splitlines()]
    assert problems == ["range at $.thermal.setpoint", "type at $"]


def _publish(address, payload):
    publisher = require("mosquitto_pub", "apt install mosquitto-clients")
    command = [publisher, *address, "-i", "sender", "-q", "1", "-t", TOPIC, "-s"]
    subprocess.run(command, input=payload.encode(), check=True, timeout=60)
