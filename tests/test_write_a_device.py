"""The page "Write a device": its messages, its sizes, and its example over a broker."""

import json
import re
import signal
import subprocess
import time
import zlib

import pytest
from egiz_schema import Topic, limits
from egiz_schema.delivery import DELIVERY
from egiz_schema.documents.examples import BIRTH, CONFIG, TELEMETRY
from egiz_schema.orders import ACTIONS
from egiz_schema.problems import problems, unknown
from rig import node, stored
from rig.documents import FULL
from rig.process import Process, free_port, own_program, require
from rig.servers import REPOSITORY
from rig.waiting import eventually

PAGE = (REPOSITORY / "docs/device/write.md").read_text()
DEVICE, CHECKED = "oven-007", "oven-009"
CHANNELS = [f"channel_{number}" for number in range(8)]
# Of the table of sizes: what each row is about.
SIZED = {
    "telemetry, as in the requirements": TELEMETRY,
    "the same with `ms`, `seq` and `boot`": {
        **TELEMETRY,
        "ms": 250,
        "seq": 40,
        "boot": 12,
    },
    "telemetry with every group, 8 zones, 8 channels": {
        **FULL["telemetry"],
        "thermal": {"temperature_zones": [185.25] * 8, "setpoint": 190.0},
        "values": dict.fromkeys(CHANNELS[:4], 41.5),
        "counters": dict.fromkeys(CHANNELS[4:6], 120400),
        "contacts": dict.fromkeys(CHANNELS[6:], False),
    },
    "birth, as in the examples": BIRTH,
    "config, as in the requirements": CONFIG,
}


def _blocks(language):
    found = re.findall(rf'```{language} title="(.*?)"\n(.*?)```', PAGE, re.DOTALL)
    return dict(found)


def _rows(heading):
    _, _, rest = PAGE.partition(f"{heading} |")
    lines = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("title", _blocks("json"))
def test_each_message_of_the_page_follows_the_contract(title):
    payload = _blocks("json")[title].encode()
    document = json.loads(payload)
    kind = "status" if "state" in document else "telemetry"
    topic = Topic("factory", document["device_id"], kind)
    assert problems(topic, payload) == []
    assert unknown(topic, payload) == []


def test_the_messages_travel_as_the_contract_says():
    rows = _rows("retained")
    assert len(rows) == len(_blocks("json")) == 5
    for name, _, kind, qos, retained in rows:
        delivery = DELIVERY[kind.strip("`")]
        assert int(qos) == delivery.qos
        is_history = name == "4 reading of an outage"
        assert (retained == "yes") == (delivery.retain and not is_history)


def test_the_sizes_of_the_page_are_computed_and_the_first_is_too_much_for_256_bytes():
    buffers = {}
    for name, payload_size, buffer_size in _rows("needs a buffer of"):
        payload = json.dumps(SIZED[name], separators=(",", ":")).encode()
        kind = {"birth": "status", "config": "config"}.get(name.split(",")[0])
        topic = str(Topic("factory", "oven-001", kind or "telemetry"))
        # PubSubClient::publish: MQTT_MAX_HEADER_SIZE (5), and the length of the topic.
        buffers[name] = 5 + 2 + len(topic) + len(payload)
        assert (payload_size, buffer_size) == (
            f"{len(payload)} bytes",
            f"{buffers[name]} bytes",
        )
    assert set(buffers) == set(SIZED)
    assert buffers["telemetry, as in the requirements"] > 256
    assert f"at most {limits.PAYLOAD_BYTES_MAX} bytes" in PAGE
    assert f"below {limits.TIMESTAMP_S[0]} (2020)" in PAGE
    assert f"`{' '.join(ACTIONS)}`" in PAGE


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The example of the page, where node finds what it needs."""
    directory = node.install(tmp_path_factory.mktemp("device"))
    (directory / "device.js").write_text(_blocks("js")["device.js"])
    return directory


class Example:
    """The example, its broker behind a proxy, and what a service sends to it."""

    def __init__(self, program, mosquitto, proxy, live) -> None:
        self._directory = program
        self._live = live
        self.proxy = proxy(mosquitto.host, mosquitto.port)
        self._address = ["-h", mosquitto.host, "-p", str(mosquitto.port)]
        self._processes: list[Process] = []
        self._subscribe("-E")

    def start(self) -> Process:
        node_program = require("node", "apt-get install nodejs")
        command = [node_program, "device.js", self.proxy.url, "factory", DEVICE]
        log = self._directory / "device.log"
        self._processes.append(Process(command, log, cwd=self._directory))
        return self._processes[-1]

    def close(self) -> None:
        for process in self._processes:
            process.kill()

    def send(self, kind, document) -> bytes:
        payload = json.dumps({"device_id": DEVICE, **document}).encode()
        topic = Topic("factory", DEVICE, kind)
        self._live.publish(topic, payload, retain=DELIVERY[kind].retain)
        return payload

    def last_status(self):
        return self._live.messages(DEVICE, "status")[-1]

    def readings(self, boot):
        received = self._live.messages(DEVICE, "telemetry")
        return [message for message in received if message.boot == boot]

    def checked(self):
        """What `egiz-sim check` says of the device behind a proxy of its own."""
        port, options = free_port(), ("--interval-ms", "150", "--outage", "1", "--json")
        node_program = require("node", "apt-get install nodejs")
        command = [node_program, "device.js", f"mqtt://127.0.0.1:{port}", "factory"]
        log = self._directory / "checked.log"
        device = Process([*command, CHECKED], log, cwd=self._directory)
        self._processes.append(device)
        done = subprocess.run(
            [
                *(own_program("egiz-sim"), "check", *options),
                *("--broker", f"mqtt://127.0.0.1:{self._address[-1]}"),
                *("--device-id", CHECKED, "--proxy-port", str(port)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)["rules"], log.read_text()

    def validated(self):
        """What `egiz-schema validate` says of all that the device has sent."""
        traffic = self._directory / "traffic"
        traffic.write_text(self._subscribe("-v", "-W", "3"))
        return subprocess.run(
            [own_program("egiz-schema"), "validate", str(traffic)],
            capture_output=True,
            text=True,
            check=False,
        )

    def _subscribe(self, *options) -> str:
        """In a session that the broker keeps: what is published waits in it."""
        subscriber = require("mosquitto_sub", "apt install mosquitto-clients")
        topics = ("-t", "sensors/+/+/status", "-t", "sensors/+/+/telemetry")
        session = (*self._address, "-i", "watcher", "-c", "-q", "1", *topics)
        done = subprocess.run(
            [subscriber, *session, *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout


@pytest.fixture
def example(program, mosquitto, proxy, live):
    made = Example(program, mosquitto, proxy, live)
    yield made
    made.close()


@pytest.mark.timeout(400)  # npm and node, on a loaded machine
def test_the_example_keeps_the_contract_and_all_it_sends_is_stored(
    example, mosquitto, live, bridge
):
    archive = bridge(mosquitto.url, archive={})
    archive.start()
    process = example.start()
    process.wait_until(lambda: example.readings(boot=1))
    assert live.messages(DEVICE, "status")[0].channels["loaves"].quantity == "pieces"

    _obeys_configs(example)
    _obeys_commands(example)
    _keeps_what_it_measured_in_an_outage(example)

    eventually(lambda: live.wills == {DEVICE})  # of the outage
    live.wills.clear()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0, process.output()
    live.until_offline(DEVICE)
    assert live.wills == set()  # it said so itself

    # Without a chance to say anything: the broker publishes the last will.
    second = example.start()
    second.wait_until(lambda: example.readings(boot=2))
    second.kill()
    eventually(lambda: live.wills == {DEVICE})
    # What a service sent to see it refused; nothing that the device sent.
    assert live.rejected == [(f"sensors/factory/{DEVICE}/config", "range")]
    points = live.points()
    assert len(points) > 20
    eventually(
        lambda: stored.without_wills(stored.in_archive(archive.archive)) == points
    )
    checked = example.validated()
    assert checked.stdout == ""
    kinds = ("status", "telemetry")
    total = sum(len(live.messages(DEVICE, kind)) for kind in kinds)
    # With its subscription, the watcher gets the retained ones again.
    assert checked.stderr == f"{total + len(kinds)} read, 0 not of the contract\n"


def test_the_example_passes_every_rule_of_the_check(example):
    code, rules, log = example.checked()
    failed = [rule for rule in rules if rule["verdict"] == "fail"]
    assert (code, failed) == (0, []), log
    # It is not allowed to be restarted, and could not.
    untried = [rule["id"] for rule in rules if rule["verdict"] == "not tried"]
    assert untried == ["reboot.counted"]


# mqtt.js says `connected` before it says "connect": between the two, it may be slow.
_SLOW_MQTT = """
const { EventEmitter } = require("node:events");
exports.connect = () => {
  const client = new EventEmitter();
  client.connected = true;
  client.publish = (topic) => console.log(topic.split("/").pop());
  client.subscribe = () => {};
  setTimeout(() => { client.emit("connect"); process.exit(); }, 300);
  return client;
};
"""


def test_the_birth_of_the_example_comes_before_a_reading_on_a_slow_machine(tmp_path):
    (tmp_path / "device.js").write_text(_blocks("js")["device.js"])
    module = tmp_path / "node_modules/mqtt"
    module.mkdir(parents=True)
    (module / "index.js").write_text(_SLOW_MQTT)
    node_program = require("node", "apt-get install nodejs")
    command = [node_program, "device.js", "mqtt://localhost", "factory", DEVICE]
    assert node.run(command, tmp_path).split() == ["status", "telemetry"]


def _obeys_configs(example):
    applied = example.send("config", {"rev": 4, "publish_rate_ms": 100})
    crc = zlib.crc32(applied)
    eventually(lambda: example.last_status().config)
    report = example.last_status().config
    assert (report.rev, report.crc, report.applied) == (4, crc, True)
    refused = example.send("config", {"rev": 5, "publish_rate_ms": 5})
    eventually(lambda: example.last_status().config.refused)
    report = example.last_status().config
    assert (report.rev, report.crc, report.applied) == (4, crc, True)
    assert (report.refused.rev, report.refused.crc) == (5, zlib.crc32(refused))
    assert report.refused.error == "publish_rate_ms: range"


def _obeys_commands(example):
    soon, long_ago = int(time.time()) + 3600, 1706352600
    identify = {"id": "1", "action": "identify", "expires_at": soon}
    for command, answer in (
        (identify, ("1", "done", None)),
        (identify, ("1", "refused", "repeated")),
        ({**identify, "id": "2", "expires_at": long_ago}, ("2", "refused", "expired")),
        ({"id": "3", "action": "explode"}, ("3", "refused", "unknown action")),
    ):
        example.send("command", command)

        def is_answered(answer=answer):
            last = example.last_status().last_command
            return last and (last.id, last.result, last.error) == answer

        eventually(is_answered)


def _keeps_what_it_measured_in_an_outage(example):
    example.proxy.refuse()
    before = len(example.readings(boot=1))
    time.sleep(2)  # the outage itself: twenty readings, of a machine that is not busy
    example.proxy.accept()
    eventually(lambda: example.readings(boot=1)[-1].seq > before + 10)
    eventually(lambda: not example.readings(boot=1)[-1].buffered)
    readings = example.readings(boot=1)
    numbers = {message.seq for message in readings}
    assert numbers == set(range(max(numbers) + 1))
    assert any(message.buffered and message.seq >= before for message in readings)
