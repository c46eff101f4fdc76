"""Each device's ledger: what is missing is known, however it comes about."""

import gc
import itertools
import json
import random
import threading
import time
import tracemalloc

import pytest
from egiz_bridge.ledger import devices as ledger
from egiz_bridge.ledger import gaps
from egiz_bridge.observe.metrics import _of_troubles
from egiz_bridge.observe.updates import of_updates
from egiz_schema import Ota, Status, Telemetry, Topic
from hypothesis import given
from hypothesis import strategies as st
from rig import stored
from rig.publisher import Publisher
from rig.waiting import eventually

TOPIC = Topic("factory", "oven-001", "telemetry")
NOW_S = 1706352600


def _device(*identities):
    device = ledger.Device()
    for boot, seq in identities:
        device.count(boot, seq)
    return device


def _counts(device):
    return {
        name: getattr(device, name)
        for name in ("missing", "duplicates", "late", "reboots")
        if getattr(device, name)
    }


@pytest.mark.parametrize(
    ("identities", "expected"),
    [
        ([(1, 5), (1, 6), (1, 7)], {}),  # the bridge came in at 5
        ([(1, 0), (1, 4)], {"missing": 3}),
        ([(1, 0), (1, 3), (1, 2)], {"missing": 1, "late": 1}),
        ([(1, 0), (1, 0)], {"duplicates": 1}),
        ([(1, 0), (1, 3), (1, 2), (1, 2)], {"missing": 1, "late": 1, "duplicates": 1}),
        ([(1, 9), (2, 0), (2, 1)], {"reboots": 1}),
        # What the boot before had kept comes after the boot.
        ([(1, 0), (1, 3), (2, 0), (1, 1)], {"missing": 1, "late": 1, "reboots": 1}),
        ([(1, 0), (2, 0), (1, 2)], {"missing": 1, "reboots": 1}),
        ([(1, 0), (2, 0), (3, 0), (1, 2)], {"reboots": 2, "late": 1}),
    ],
)
def test_missing_late_and_repeated_are_counted_by_boot_and_seq(identities, expected):
    assert _counts(_device(*identities)) == expected


@given(st.data())
def test_any_order_any_loss_any_repeat_adds_up(data):
    """Against a model that remembers everything."""
    sent = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=60))
    device = _device(*((7, seq) for seq in sent))
    first, seen = sent[0], set(sent)
    above = {seq for seq in seen if seq >= first}
    assert device.missing == max(above) - first + 1 - len(above)
    # What is from before the bridge's start looks like a repeat.
    fresh = sum(seq not in sent[:at] and seq > first for at, seq in enumerate(sent))
    in_turn = sum(seq > max(sent[:at], default=-1) for at, seq in enumerate(sent) if at)
    assert device.late == fresh - in_turn
    assert device.duplicates == len(sent) - 1 - fresh


@pytest.mark.parametrize("read", ["seen", "totals"])
def test_devices_may_be_read_while_others_are_added(read):
    """In a garbage collection within the read, the main loop may run."""
    known = ledger.Devices()
    for number in range(3000):
        known.of(Topic("factory", f"oven-{number}", "telemetry"))
    added = itertools.count()

    def add():
        for _ in range(2000):  # the dictionary grows
            known.of(Topic("factory", f"new-{next(added)}", "telemetry"))

    def in_the_midst(phase, _):
        if phase == "start" and not threads:
            thread = threading.Thread(target=add)
            threads.append(thread)
            thread.start()
            thread.join(0.2)

    threads, thresholds = [], gc.get_threshold()
    gc.set_threshold(200)
    gc.callbacks.append(in_the_midst)
    try:
        getattr(known, read)()
    finally:
        gc.callbacks.remove(in_the_midst)
        gc.set_threshold(*thresholds)
    for thread in threads:
        thread.join()
    assert len(known.seen()) == 3000 + next(added)


def test_a_long_absence_costs_no_memory_and_no_message_of_it():
    """What a device has kept meanwhile comes late, in order, beside what is new."""
    absence = 4_000_000_000
    device = _device((1, 0), (1, absence), (1, absence + 2), (1, 5))
    assert _counts(device) == {"missing": absence - 1, "late": 1}
    for seq in range(6, 20_000):
        device.count(1, seq)
        device.count(1, absence + seq)
    assert device.late == 1 + (20_000 - 6)
    assert device.duplicates == 0


def test_what_is_skipped_is_known_for_the_newest_gaps_only():
    device = _device((1, 0))
    for gap in range(1, 101):
        device.count(1, gap * 10)
    assert device.missing == 900
    for gap in range(100):
        device.count(1, gap * 10 + 1)
    assert _counts(device) == {
        "missing": 900 - gaps.RANGES_MAX,
        "late": gaps.RANGES_MAX,
        "duplicates": 100 - gaps.RANGES_MAX,
    }


def test_a_flood_of_devices_with_gaps_does_not_grow_the_process():
    tracemalloc.start()
    all_devices = [ledger.Device() for _ in range(500)]
    before = tracemalloc.get_traced_memory()[0]
    for device in all_devices:
        for boot in (1, 2):
            for number in range(2 * gaps.RANGES_MAX):
                device.count(boot, number * 1_000_000)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / len(all_devices) * ledger.DEVICES_MAX < 160e6


@given(st.data())
def test_gaps_are_as_a_set_of_what_was_skipped(data):
    found, model, highest = gaps.Gaps(), set(), 0
    for _ in range(data.draw(st.integers(1, 30))):
        if data.draw(st.booleans()):
            end = highest + data.draw(st.integers(0, 12))
            found.add(highest, end)
            model.update(range(highest, end))
            highest = end + 1
        else:
            number = data.draw(st.integers(-1, highest + 1))
            assert found.remove(number) == (number in model)
            model.discard(number)
    assert [number for number in range(highest) if found.remove(number)] == sorted(
        model
    )


def _telemetry(**members):
    return Telemetry(device_id="oven-001", timestamp=NOW_S, **members)


def test_a_clock_is_judged_by_live_messages_only():
    all_devices = ledger.Devices()
    live = _telemetry(ms=500)
    all_devices.observe(all_devices.of(TOPIC), live, NOW_S * 1000 + 1700)
    all_devices.observe(
        all_devices.of(TOPIC), _telemetry(buffered=True), NOW_S * 1000 + 600_000
    )
    (seen,) = all_devices.seen()
    assert seen.device.clock_skew_ms == 1200
    assert seen.device.buffered == 1
    assert seen.device.messages == 2
    assert all_devices.event_to_receipt.buckets()[-1] == ("+Inf", 1)


def test_a_flood_of_devices_does_not_grow_the_process(monkeypatch):
    monkeypatch.setattr(ledger, "DEVICES_MAX", 10)
    all_devices = ledger.Devices()
    for number in range(100):
        topic = Topic("factory", f"oven-{number}", "status")
        message = Status(device_id=f"oven-{number}", state="online")
        all_devices.observe(all_devices.of(topic), message, NOW_S * 1000)
    assert len(all_devices.seen()) == 10
    assert all_devices.totals().messages == 100


def _publish(mosquitto, device, identities, *, ahead_s=0):
    with Publisher(mosquitto) as publisher:
        for boot, seq in identities:
            message = {
                "device_id": device,
                "timestamp": int(time.time()) + ahead_s,
                "ms": seq,
                "boot": boot,
                "seq": seq,
                "thermal": {"setpoint": 1.0},
            }
            topic = f"sensors/factory/{device}/telemetry"
            publisher.publish(topic, json.dumps(message).encode())


def test_devices_in_trouble_are_shown(mosquitto, bridge, launch):
    running = bridge(mosquitto.url, archive={})
    running.start()
    _publish(mosquitto, "oven-001", [(1, seq) for seq in range(5)])
    _publish(mosquitto, "oven-002", [(1, 0), (1, 4), (1, 4)])
    _publish(mosquitto, "oven-003", [(1, 0)], ahead_s=-3600)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 9)

    def ask(*arguments):
        process = launch(
            "egiz-bridge", "devices", "--config", str(running.config), *arguments
        )
        assert process.wait() == 0
        return process.output()

    never_stale = ("--stale-after", "3600")  # however long it takes to ask
    found = {one["device_id"]: one for one in json.loads(ask("--json", *never_stale))}
    assert found["oven-001"]["states"] == ["ok"]
    assert found["oven-002"]["states"] == ["losing"]
    assert (found["oven-002"]["missing"], found["oven-002"]["duplicates"]) == (3, 1)
    assert found["oven-003"]["states"] == ["drifting"]
    shown = ask("--trouble", *never_stale)
    assert "counted since 20" in shown
    assert "oven-002" in shown
    assert "oven-001" not in shown
    assert "oven-001" in ask("--stale-after", "0", "--trouble")

    metrics = running.metrics()
    assert metrics["devices"] == 3
    assert metrics["devices_missing_messages"] == 3
    assert metrics["devices_duplicate_messages_total"] == 1
    assert metrics["device_missing_messages/oven-002/factory"] == 3
    assert running.stop() == 0
    process = launch("egiz-bridge", "devices", "--config", str(running.config))
    assert process.wait() == 1
    assert "no bridge answers" in process.output()
    assert "Traceback" not in process.output()


def test_devices_that_sent_since_a_time_can_be_asked_for(mosquitto, bridge):
    begun_ms = time.time_ns() // 1_000_000
    running = bridge(mosquitto.url, archive={})
    running.start()

    def ask(query=""):
        status, body = running.get(f"/devices{query}")
        assert status == 200
        answer = json.loads(body)
        return answer, {one["device_id"]: one for one in answer["devices"]}

    _publish(mosquitto, "oven-001", [(1, 0)])
    eventually(lambda: "oven-001" in ask()[1])
    answer, found = ask()
    first_ms = found["oven-001"]["last_received_ms"]
    assert begun_ms <= answer["started_ms"] <= first_ms
    assert not ask(f"?since={first_ms}")[1]
    _publish(mosquitto, "oven-002", [(1, 0)])
    eventually(lambda: "oven-002" in ask()[1])
    assert ask(f"?since={first_ms}")[1].keys() == {"oven-002"}
    assert ask("?since=0")[1].keys() == {"oven-001", "oven-002"}
    for wrong in ("x", "-1", "1e3", "%D9%A1"):
        assert running.get(f"/devices?since={wrong}") == (
            400,
            "since: must be milliseconds since 1970\n",
        )


def test_a_time_far_ahead_is_replaced_and_marked(mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    before_ms = int(time.time()) * 1000
    _publish(mosquitto, "oven-001", [(1, 1)], ahead_s=100)
    _publish(mosquitto, "oven-002", [(1, 1)], ahead_s=86_400)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 2)
    rows = stored.in_archive(running.archive)
    times = {device: time_ms for _, device, time_ms in rows}
    fields = {device: found for (_, device, _), found in rows.items()}
    # Within what a clock may be ahead.
    assert times["oven-001"] >= before_ms + 100_000
    assert before_ms <= times["oven-002"] <= time.time() * 1000
    assert "time_corrected" not in fields["oven-001"]
    assert fields["oven-002"]["time_corrected"]


def test_a_thousand_devices_with_losses_are_counted_exactly():
    rng = random.Random(4)
    all_devices = ledger.Devices()
    lost = dict.fromkeys(range(1000), 0)
    for seq, unit in itertools.product(range(20), range(1000)):
        if 0 < seq < 19 and rng.random() < 0.1:
            lost[unit] += 1
            continue
        topic = Topic("factory", f"oven-{unit}", "telemetry")
        message = Telemetry(
            device_id=f"oven-{unit}", timestamp=NOW_S + seq, boot=1, seq=seq
        )
        all_devices.observe(all_devices.of(topic), message, (NOW_S + seq) * 1000)
    found = {seen.device_id: seen.device.missing for seen in all_devices.seen()}
    assert found == {f"oven-{unit}": count for unit, count in lost.items()}
    assert all_devices.totals().missing == sum(lost.values()) > 1000


def _heard(devices, device_id, received_ms, time_ms):
    topic = Topic("factory", device_id, "telemetry")
    seconds, ms = divmod(time_ms, 1000)
    message = Telemetry(device_id=device_id, timestamp=seconds, ms=ms)
    devices.observe(devices.of(topic), message, received_ms)


def test_stale_means_silent_for_more_than_a_minute_and_the_longest_comes_first():
    devices, now_ms = ledger.Devices(), NOW_S * 1000
    for device_id, silent_ms in (("a-1", 60_000), ("b-1", 60_001), ("c-1", 90_500)):
        _heard(devices, device_id, now_ms - silent_ms, now_ms - silent_ms)
    found = [(seconds, seen.device_id) for seconds, seen in devices.stale(now_ms)]
    assert found == [(90.5, "c-1"), (60.001, "b-1")]


def test_metrics_name_stale_devices_and_count_drifting_ones():
    devices, now_ms = ledger.Devices(), time.time_ns() // 1_000_000
    _heard(devices, "good-1", now_ms, now_ms)
    _heard(devices, "fast-1", now_ms, now_ms + 60_001)
    _heard(devices, "slow-1", now_ms - 100_000, now_ms - 200_000)
    found = {family.name: family.samples for family in _of_troubles(devices)}
    assert found["egiz_bridge_devices_stale"][0].value == 1
    assert found["egiz_bridge_devices_drifting"][0].value == 2
    (stale,) = found["egiz_bridge_device_stale_seconds"]
    assert stale.labels == {"facility": "factory", "device_id": "slow-1"}
    assert 100 <= stale.value < 160


def _said(devices, device_id, received_ms, state="online", ota=None, time_s=NOW_S):
    topic = Topic("factory", device_id, "status")
    status = Status(device_id=device_id, state=state, timestamp=time_s, ota=ota)
    devices.observe(devices.of(topic), status, received_ms)


def _updates(devices):
    return [
        (*(sample.labels[x] for x in ("device_id", "state", "version", "error")), at)
        for sample in of_updates(devices).samples
        for at in [sample.value]
    ]


def test_an_update_is_known_with_its_beginning_until_it_is_done():
    devices = ledger.Devices()
    _said(devices, "oven-1", 1000, "updating", Ota(state="updating", version="0.2.0"))
    _said(devices, "oven-1", 9000, "updating", Ota(state="updating", version="0.2.0"))
    assert _updates(devices) == [("oven-1", "updating", "0.2.0", "", 1)]
    # The last will says nothing about it.
    _said(devices, "oven-1", 10_000, "offline", time_s=None)
    assert _updates(devices) == [("oven-1", "updating", "0.2.0", "", 1)]
    failed = Ota(state="rolled_back", version="0.2.0", error="crash: MemoryError()")
    _said(devices, "oven-1", 20_000, ota=failed)
    expected = ("oven-1", "rolled_back", "0.2.0", "crash: MemoryError()", 20)
    assert _updates(devices) == [expected]
    _said(devices, "oven-1", 30_000, ota=Ota(state="done", version="0.2.1"))
    assert _updates(devices) == []


def test_firmware_of_others_that_names_only_its_state_is_known_to_update():
    devices = ledger.Devices()
    _said(devices, "oven-1", 5000, "updating")
    assert _updates(devices) == [("oven-1", "updating", "", "", 5)]
    _said(devices, "oven-1", 6000)
    assert _updates(devices) == []


def test_of_a_thousand_updates_there_are_a_hundred_for_each_state_that_matters():
    """Of those that have not ended, the oldest; of those that failed, the newest."""
    devices = ledger.Devices()
    states = ("updating", "failed", "waiting", "trial", "an invention")
    for number in range(1000):
        ota = Ota(state=states[number % 5], version="0.2.0")
        _said(devices, f"oven-{number}", number * 1000, ota=ota)
    found = _updates(devices)
    ends = {"updating": range(0, 500, 5), "failed": range(501, 1001, 5)}
    for state, numbers in ends.items():
        ids = {one[0] for one in found if one[1] == state}
        assert ids == {f"oven-{n}" for n in numbers}
    assert len(found) == 200


def test_what_a_device_did_before_the_bridge_was_there_is_known(mosquitto, bridge):
    """Its status is retained, and the device itself is silent."""
    begun_s = int(time.time()) - 3600
    said = {"device_id": "oven-001", "state": "updating", "timestamp": begun_s}
    said["ota"] = {"state": "updating", "version": "0.2.0"}
    with Publisher(mosquitto) as publisher:
        topic = "sensors/factory/oven-001/status"
        publisher.publish(topic, json.dumps(said).encode(), retain=True)
    running = bridge(mosquitto.url, archive={})
    running.start()
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 1)
    (line,) = (
        line
        for line in running.get("/metrics")[1].splitlines()
        if line.startswith("egiz_bridge_device_update_timestamp_seconds{")
    )
    assert 'device_id="oven-001"' in line
    assert 'state="updating"' in line
    assert float(line.rpartition(" ")[2]) == begun_s
