"""Config and command as the device checks them: verdict and reason of the server."""

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from egiz_schema import DecodeError, Topic, decode, messages, models, orders, wire
from rig.mutations import mutated

CHECKS = {"config": orders.check_config, "command": orders.check_command}
# The rules of the JSON text: of these, a parsed document shows nothing.
TEXT_RULES = ("WIRE-5", "WIRE-6")
DEVICE = "oven-001"
# Numbers that no float can hold.
ENDLESS = re.compile(rb"\d{309}|e\+?\d{3}")

_ON_THE_DEVICE = """
import json, sys
from egiz_schema import orders
for line in open(sys.argv[1]):
    kind, document = json.loads(line)
    try:
        getattr(orders, "check_" + kind)(document, "oven-001")
        print(json.dumps(["accept"]))
    except ValueError as fault:
        print(json.dumps(fault.args))
"""


def _vectors(kind):
    loaded = json.loads((files("egiz_schema") / "vectors" / f"{kind}.json").read_text())
    return [
        vector
        for vector in loaded["vectors"]
        if vector["kind"] == kind
        and vector["rule"] not in TEXT_RULES
        and vector.get("device_id", DEVICE) == DEVICE
    ]


def _document(vector):
    return vector["json"] if "json" in vector else json.loads(vector["text"])


def _verdict(kind, document):
    try:
        CHECKS[kind](document, DEVICE)
    except ValueError as fault:
        reason, message = fault.args
        assert len(message) <= 64
        assert message.isascii()
        return reason
    return "accept"


def _expected(vector):
    return vector.get("reason", "accept")


_RELEASE = {"version": "1", "url": "http://x"}
_ORDERS = {
    "config": (messages.Config, {}, None),
    "command": (messages.Command, {"id": "1", "action": "x"}, None),
    "firmware": (messages.Firmware, _RELEASE, "firmware"),
}


@pytest.mark.parametrize(("struct", "needed", "member"), _ORDERS.values(), ids=_ORDERS)
def test_the_device_has_a_rule_for_each_member_of_an_order(struct, needed, member):
    check = CHECKS["command" if struct is messages.Command else "config"]
    for field in msgspec.structs.fields(struct):
        order = needed | {field.encode_name: []}  # which no member may be
        whole = {member: order} if member else order
        try:
            check({"device_id": DEVICE, **whole}, DEVICE)
        except ValueError:
            continue
        pytest.fail(f"add {field.encode_name} of {struct.__name__} to orders.py")


@pytest.mark.parametrize(
    "vector",
    [vector for kind in CHECKS for vector in _vectors(kind)],
    ids=lambda v: f"{v['rule']}-{v['about']}",
)
def test_a_vector(vector):
    assert _verdict(vector["kind"], _document(vector)) == _expected(vector)


def test_all_vectors_on_the_device(micropython, tmp_path):
    package = tmp_path / "egiz_schema"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("limits.py", "topics.py", "orders.py"):
        shutil.copy(Path(orders.__file__).parent / name, package)
    vectors = [vector for kind in CHECKS for vector in _vectors(kind)]
    lines = [json.dumps([vector["kind"], _document(vector)]) for vector in vectors]
    (tmp_path / "vectors").write_text("\n".join(lines))
    printed = micropython.run(_ON_THE_DEVICE, f"{tmp_path}/vectors", path=[tmp_path])
    found = [json.loads(line)[0] for line in printed.splitlines()]
    assert found == [_expected(vector) for vector in vectors]
    assert len(vectors) > 40


@pytest.mark.parametrize("kind", CHECKS)
def test_a_spoiled_message_has_the_verdict_of_the_server(kind):
    topic = Topic("factory", DEVICE, kind)
    verdicts = []
    for payload in mutated(_seeds(kind), 8000, seed=7):
        try:
            document = wire.parse(payload)
        except DecodeError:
            continue  # no document
        if ENDLESS.search(payload):
            continue  # the server names this before its type
        try:
            decode(topic, payload)
            expected = {"accept"}
        except DecodeError:
            # Of two faults, each reader may meet another one first; and the server
            # looks at characters last.
            expected = {fault.reason for fault in models.problems(topic, payload)}
            expected |= {"charset"} if not _is_plain(payload) else set()
        verdicts.append(_verdict(kind, document))
        assert verdicts[-1] in expected, payload
    assert {"accept", "type", "range", "missing", "unsupported_version"} <= set(
        verdicts
    )
    assert len(verdicts) > 800


def _is_plain(payload):
    return payload.isascii() and not any(c in payload for c in b"\\\x7f")


def _seeds(kind):
    accepted = [v for v in _vectors(kind) if v["verdict"] == "accept"]
    return [json.dumps(_document(vector)).encode() for vector in accepted]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not an object"),
        ({"device_id": "oven-002"}, "device_id: not ours"),
        ({"device_id": DEVICE, "rev": 1.5}, "rev: not an integer"),
        (
            {"device_id": DEVICE, "publish_rate_ms": 5},
            "publish_rate_ms: not 100..3600000",
        ),
        ({"device_id": DEVICE, "v": 2}, "v: not 1"),
        (
            {"device_id": DEVICE, "alerts": {"x": {"max": "1"}}},
            "alerts.x.max: not a number",
        ),
        (
            {"device_id": DEVICE, "wifi_ssid": "x" * 65},
            "wifi_ssid: not 0..32 bytes",
        ),
    ],
)
def test_an_error_names_the_member_and_what_it_must_be(document, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        orders.check_config(document, DEVICE)


_HOST_AND_PORT_ON_THE_DEVICE = """
import json, sys
from egiz_schema.orders import split_host_port
for line in open(sys.argv[1]):
    try:
        print(json.dumps(split_host_port(json.loads(line))))
    except ValueError as error:
        print(json.dumps(str(error)))
"""


def test_host_and_port_are_read_the_same_on_the_device(micropython, tmp_path):
    package = tmp_path / "egiz_schema"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("limits.py", "orders.py"):
        shutil.copy(Path(orders.__file__).parent / name, package)
    texts = ["h", "h:1", "[::1]:8883", "", "h:", "h:0", "h:65536", "h:-1", "h:²"]
    texts += ["h:\u0661", "::1", "[::1", "[::1]1", "[1]", "a b", "é:1", "h\n", "h\0:1"]
    (tmp_path / "texts").write_text("\n".join(map(json.dumps, texts)))
    printed = micropython.run(
        _HOST_AND_PORT_ON_THE_DEVICE, f"{tmp_path}/texts", path=[tmp_path]
    )
    assert [json.loads(line) for line in printed.splitlines()] == [
        _host_and_port(text) for text in texts
    ]


def _host_and_port(text):
    try:
        return list(orders.split_host_port(text))
    except ValueError as error:
        return str(error)


_ESCAPED = r"""
import json, sys
from egiz_schema import orders
for text in sys.argv[1:]:
    document = json.loads('{"device_id":"oven-001","wifi_ssid":"' + text + '"}')
    try:
        orders.check_config(document, "oven-001")
        print(document["wifi_ssid"].encode().hex())
    except ValueError as fault:
        print(fault.args[0])
"""


def test_an_escaped_emoji_names_the_network_that_its_sender_means(
    micropython, tmp_path
):
    """A parser that leaves two surrogates gives a name that no network has."""
    package = tmp_path / "egiz_schema"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("limits.py", "topics.py", "orders.py"):
        shutil.copy(Path(orders.__file__).parent / name, package)
    emoji = r"\ud83d\ude00"
    texts = [
        "caf" + emoji,
        emoji * 8,
        emoji * 8 + "x",
        r"\ud83d",
        r"\ude00",
        r"\ud83dx",
    ]
    printed = micropython.run(_ESCAPED, *texts, path=[tmp_path]).split()
    assert printed == [
        "caf\U0001f600".encode().hex(),
        ("\U0001f600" * 8).encode().hex(),
        "range",
        "charset",
        "charset",
        "charset",
    ]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"rev": 1e300}, "range"),
        ({"rev": float("inf")}, "range"),
        ({"rev": 1e18}, "range"),
        ({"v": 1e300}, "unsupported_version"),
        ({"v": float("inf")}, "range"),
        ({"firmware": {"version": "1", "url": "u", "percent": None}}, "accept"),
        ({"wifi_ssid": "\ud800"}, "charset"),
    ],
)
def test_numbers_past_any_integer_and_half_characters_have_a_reason(members, reason):
    assert _verdict("config", {"device_id": DEVICE, **members}) == reason


def test_arguments_that_are_no_object_have_a_reason():
    with pytest.raises(ValueError, match="type"):
        orders.check_arguments("reboot", None, DEVICE)
