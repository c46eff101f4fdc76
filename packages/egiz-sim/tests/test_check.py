"""`egiz-sim check`: it passes a device that is right, and finds each fault."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from egiz_sim.broker import Broker
from egiz_sim.cli_check import check as command
from egiz_sim.conformance import output
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.rules import RULES
from egiz_sim.conformance.run import check
from rig.faulty_device import FaultyDevice
from rig.live import LiveSubscriber
from rig.process import Process, free_port, own_program
from rig.publisher import Publisher
from rig.servers import REPOSITORY, Mosquitto
from rig.waiting import eventually

PAGE = (REPOSITORY / "docs/device/check.md").read_text()
# What a device does wrong -> the rule that finds it, and no other does.
FAULTS = {
    "another client id": "connect.client_id",
    "subscribes at QoS 0": "connect.subscribes",
    "no PUBACK": "connect.acknowledges",
    "no last will": "will.given",
    "will not retained": "will.delivery",
    "will at QoS 0": "will.delivery",
    "will of another boot": "will.boot",
    "will of the boot before": "will.boot",
    "telemetry before birth": "birth.first",
    "status at QoS 0": "delivery.qos",
    "status not retained": "retain.status",
    "telemetry not retained": "retain.telemetry",
    "history retained": "retain.history",
    "history retained + indents with tabs": "retain.history",
    "a topic of its own": "topic.own",
    "a number as a text": "payload.valid",
    "payload of another device": "payload.device",
    "no schema": "birth.fields",
    "forgets": "birth.fields",
    "an undeclared channel": "birth.channels",
    "answers without channels": "status.channels",
    "repeats one channel": "status.channels",
    "telemetry of another boot": "boot.same",
    "seq by two": "seq.counts",
    "an hour behind": "time.clock",
    "statuses of yesterday": "time.clock",
    "whole seconds": "time.unique",
    "whole seconds in statuses": "time.unique",
    "ignores configs": "config.applied",
    "reports no revision": "config.applied",
    "another crc": "config.crc",
    "keeps its rate": "config.rate",
    "never refuses": "config.refused",
    "reports what it refused as in force": "config.refused",
    "applies before it checks": "config.whole",
    "ignores a config that is no JSON": "config.malformed",
    "obeys configs of others": "config.device",
    "compares revisions": "config.same_rev",
    "refuses what it does not know": "config.unknown",
    "ignores commands": "command.answered",
    "says ok": "command.answered",
    "answers twice": "command.once",
    "obeys repeated commands": "command.repeated",
    "obeys expired commands": "command.expired",
    "obeys retained commands": "command.retained",
    "obeys no_such_action": "command.unknown",
    "obeys commands of others": "command.device",
    "obeys arguments": "command.arguments",
    "ignores a command that is no JSON": "command.malformed",
    "refuses without a reason": "command.reason",
    "drops what it has no room for": "command.burst",
    "obeys ota": "update.refused",
    "counts no boots": "reboot.counted",
    "loses the outage": "outage.kept",
    "replays twice": "outage.once",
    "newest first": "outage.order",
    "replays unmarked": "outage.marked",
    "time of sending": "outage.times",
}
# What a subscriber sees of them, without the packets of the device.
SEEN_WITHOUT_PROXY = (
    "status at QoS 0",
    "status not retained",
    "telemetry not retained",
    "a topic of its own",
)
ONLY_PACKETS_SHOW = {
    *("connect.client_id", "connect.subscribes", "connect.acknowledges"),
    *("will.given", "will.delivery", "will.boot", "birth.first", "retain.history"),
    "birth.fields",
}
RIGHT, WITHOUT_PROXY, PASSIVE = "", "no proxy: ", "passive: "
FIRMWARE, LIGHT = "firmware", "a light device"
SLOW = "pauses while it replays"
TABS = "indents with tabs"
LATE = "answers configs late"
OPTIONS = {"interval_ms": 200, "outage": 4, "answer": 3}


def _plans():
    """Whom to check -> how; all at the same time, since most of it is waiting."""
    for number, fault in enumerate([RIGHT, *FAULTS]):
        yield fault, _plan(f"oven-{number}", free_port(), may_reboot=True)
    for number, fault in enumerate([RIGHT, *SEEN_WITHOUT_PROXY]):
        yield WITHOUT_PROXY + fault, _plan(f"mixer-{number}")
    yield WITHOUT_PROXY + LATE, _plan("mixer-100")
    yield PASSIVE, _plan("silo-1", free_port(), is_passive=True, watch=3)
    # With 144 KB, six commands at once may be more than it has memory for.
    yield FIRMWARE, _plan("oven-900", free_port(), may_reboot=True, answer=10)
    yield LIGHT, _plan("oven-001", free_port(), may_reboot=True)
    yield SLOW, _plan("oven-901", free_port(), may_reboot=True)
    yield TABS, _plan("oven-902", free_port(), may_reboot=True)


def _plan(device_id, proxy_port=None, **options):
    return Plan("factory", device_id, proxy_port, **OPTIONS | options)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Whom -> what the check found of it, and all that a test may look at beside."""
    directory = tmp_path_factory.mktemp("check")
    broker = Mosquitto(directory / "mosquitto")
    broker.start()
    live = LiveSubscriber(broker.host, broker.port)
    plans = dict(_plans())
    firmware = _start_firmware(plans[FIRMWARE], directory)
    light = _start_light(plans[LIGHT], directory)
    interrupted = Interrupted(broker, directory)
    try:
        results = dict(zip(plans, _checked(broker, plans), strict=True))
        yield SimpleNamespace(
            results=results,
            broker=broker,
            live=live,
            printed=firmware.output(),
            interrupted=interrupted,
        )
    finally:
        interrupted.close()
        light.kill()
        firmware.kill()
        live.close()
        broker.kill()


class Interrupted:
    """The command at a device of its own, which has a config; it stays in an outage."""

    def __init__(self, broker, directory):
        self.config = b'{"device_id":"oven-800", "rev":41, "publish_rate_ms":300}'
        with Publisher(broker) as publisher:
            topic = "sensors/factory/oven-800/config"
            publisher.publish(topic, self.config, retain=True)
        port = str(free_port())
        self.device = FaultyDevice(broker.host, int(port), "oven-800", "")
        command = [own_program("egiz-sim"), "check", "--device-id", "oven-800"]
        command += ["--broker", broker.url, "--proxy-port", port]
        options = ["--interval-ms", "150", "--outage", "600"]
        self.process = Process([*command, *options], directory / "interrupted.log")

    def close(self):
        self.process.kill()
        self.device.close()


def _start_firmware(plan, directory):
    command = [own_program("egiz-edge"), "run", "--heap", "192k", "--publish-ms", "400"]
    address = f"mqtt://127.0.0.1:{plan.proxy_port}"
    names = ["--device-id", plan.device_id, "--broker", address]
    return Process([*command, *names], directory / "firmware.log")


def _start_light(plan, directory):
    address = f"mqtt://127.0.0.1:{plan.proxy_port}"
    command = [own_program("egiz-sim"), "run", "--devices", "1", "--rate", "2.5"]
    command += ["--seconds", "600", "--broker", address]
    return Process(command, directory / "light.log")


def _checked(broker, plans):
    devices = [
        FaultyDevice(
            broker.host,
            plan.proxy_port or broker.port,
            plan.device_id,
            whom.removeprefix(WITHOUT_PROXY).removeprefix(PASSIVE),
        )
        for whom, plan in plans.items()
        if whom not in {FIRMWARE, LIGHT}
    ]
    try:
        return asyncio.run(_all(Broker.from_url(broker.url), plans.values()))
    finally:
        with ThreadPoolExecutor(len(devices)) as closing:
            list(closing.map(FaultyDevice.close, devices))


async def _all(address, plans):
    return await asyncio.gather(*(check(address, p, lambda _: None) for p in plans))


def _ids(result, verdict):
    return {each.rule.id for each in result.verdicts if each.verdict == verdict}


def _shown(result):
    return "\n".join(output.table(result))


def test_a_device_that_is_right_passes_every_rule(found):
    right = found.results[RIGHT]
    assert _ids(right, "pass") == {rule.id for rule in RULES}, _shown(right)


@pytest.mark.parametrize("right", [SLOW, TABS])
def test_a_device_that_differs_where_it_may_passes_every_rule(found, right):
    result = found.results[right]
    assert _ids(result, "pass") == {rule.id for rule in RULES}, _shown(result)


def test_a_light_device_passes_every_rule(found):
    light = found.results[LIGHT]
    without_channels = {"birth.channels", "status.channels"}  # an oven has none
    rules = {rule.id for rule in RULES}
    assert _ids(light, "pass") == rules - without_channels, _shown(light)
    assert _ids(light, "fail") == set()


def test_the_firmware_passes_every_rule_that_is_about_what_it_does(found):
    firmware = found.results[FIRMWARE]
    assert _ids(firmware, "fail") == set(), _shown(firmware) + found.printed
    # It has meters and thermometers only.
    assert _ids(firmware, "not tried") == {"birth.channels", "status.channels"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_one_rule_and_no_other(found, fault):
    result = found.results[fault]
    assert _ids(result, "fail") == {FAULTS[fault]}, _shown(result)


def test_each_rule_has_a_device_that_only_it_finds():
    assert set(FAULTS.values()) == {rule.id for rule in RULES}


def test_without_a_proxy_it_judges_what_a_subscriber_sees(found):
    right = found.results[WITHOUT_PROXY]
    assert _ids(right, "fail") == set(), _shown(right)
    outage = {rule.id for rule in RULES if rule.id.startswith("outage.")}
    untried = ONLY_PACKETS_SHOW | outage | {"command.retained", "reboot.counted"}
    assert _ids(right, "not tried") == untried


def test_a_device_that_publishes_much_before_it_answers_fails_no_rule(found):
    late = found.results[WITHOUT_PROXY + LATE]
    assert _ids(late, "fail") == set(), _shown(late)
    assert {"config.applied", "retain.telemetry"} <= _ids(late, "pass")


@pytest.mark.parametrize("fault", SEEN_WITHOUT_PROXY)
def test_without_a_proxy_it_finds_what_a_subscriber_sees(found, fault):
    result = found.results[WITHOUT_PROXY + fault]
    assert _ids(result, "fail") == {FAULTS[fault]}, _shown(result)


def test_watch_only_sends_nothing(found):
    live, result = found.live, found.results[PASSIVE]
    assert live.messages("silo-1", "telemetry")
    for kind in ("config", "command"):
        assert live.messages("silo-1", kind) == []
        assert live.messages("oven-0", kind) != []
    assert _ids(result, "fail") == set(), _shown(result)
    assert {"payload.valid", "will.given", "retain.status"} <= _ids(result, "pass")
    orders = {
        r.id for r in RULES if r.id.startswith(("config.", "command.", "outage."))
    }
    assert orders <= _ids(result, "not tried")


def test_what_it_prints_has_80_columns_and_says_how_to_mend(found):
    for result in found.results.values():
        lines = list(output.table(result))
        assert max(map(len, lines)) <= 80
        for each in result.verdicts:
            assert any(each.rule.id in line for line in lines)
            if each.verdict == "fail":
                assert each.rule.mend.split()[0] in " ".join(lines)


def test_json_and_junit_have_the_same_verdicts(found):
    result = found.results["loses the outage"]
    document = json.loads(json.dumps(output.document(result)))
    failed = [rule for rule in document["rules"] if rule["verdict"] == "fail"]
    assert [rule["id"] for rule in failed] == ["outage.kept"]
    assert document["passed"] is False
    assert document["counts"]["pass"] == result.count("pass")
    suite = ET.fromstring(output.junit(result))
    assert suite.attrib["failures"] == "1"
    (case,) = [case for case in suite if case.find("failure") is not None]
    assert (case.attrib["classname"], case.attrib["name"]) == ("outage", "kept")
    skipped = len(suite.findall("testcase/skipped"))
    assert skipped == result.count("not tried") == int(suite.attrib["skipped"])


def _with(topic, kept):
    return kept if topic in kept else None


@pytest.fixture
def start(launch, mosquitto):
    """Start the command: `start("--wait", "1")`, of oven-001."""

    def run(*arguments):
        names = ("--broker", mosquitto.url, "--device-id", "oven-001")
        return launch("egiz-sim", "check", *names, *arguments)

    return run


def test_a_device_that_does_not_come_is_no_verdict(start):
    running = start("--wait", "1")
    assert running.wait() == 1
    assert "nothing came from oven-001 within 1 s" in running.output()


def test_a_port_that_is_in_use_is_an_error_of_usage(start, mosquitto):
    running = start("--proxy-port", str(mosquitto.port))
    assert running.wait() == 2
    assert "in use; choose another port" in running.output()


def test_ctrl_c_puts_back_what_it_found(found):
    broker, interrupted = found.broker, found.interrupted
    config, command = (f"sensors/factory/oven-800/{k}" for k in ("config", "command"))
    before = eventually(lambda: _with(command, broker.orders()))
    assert before[config] != interrupted.config
    assert interrupted.process.interrupt() == 130
    assert "Traceback" not in interrupted.process.output()
    kept = broker.orders()
    assert kept[config] == interrupted.config
    assert command not in kept
    in_force = interrupted.device.config
    assert (in_force["rev"], in_force["applied"]) == (41, True)


def test_the_page_has_each_rule_as_the_command_says_it():
    rows = [
        f"| `{rule.id}` | {rule.says} | {rule.tried} | {rule.mend} |" for rule in RULES
    ]
    assert re.findall(r"^\| `[a-z]+\..*$", PAGE, re.MULTILINE) == rows


def test_the_page_names_options_that_there_are():
    options = {option for each in command.params for option in each.opts}
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert named <= options
    assert {"--proxy-port", "--watch-only", "--json", "--junit"} <= named
