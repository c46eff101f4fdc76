"""The session with the broker, the clock, and what both survive: the whole firmware."""

import datetime as dt
import threading
import time

import pytest
from egiz_schema import Topic
from rig.device import DEVICE
from rig.process import free_port
from rig.waiting import eventually


def _complete(messages, count):
    """The messages from seq 0 in order, or nothing if one of the first is missing."""
    found = {m.seq: m for m in messages}
    is_complete = set(range(count)) <= set(found)
    return [found[seq] for seq in sorted(found)] if is_complete else []


def test_samples_from_before_the_time_was_known_get_their_true_time(
    device, mosquitto, live, chrony, hardware
):
    hardware.is_clock_set = False
    chrony.stop()
    started_s = time.time()
    ntp = f"{chrony.host}:{chrony.port}"
    running = device(mosquitto, publish_rate_ms=1000, ntp=ntp)
    eventually(lambda: any("no time from" in line for line in running.output))
    chrony.start()
    messages = eventually(lambda: _complete(live.messages(DEVICE, "telemetry"), 5))
    assert any("time set by" in line for line in running.output)
    times_s = [m.timestamp + m.ms / 1000 for m in messages]
    assert all(started_s - 1 < sent_s < time.time() + 1 for sent_s in times_s)
    assert times_s == sorted(times_s)
    assert times_s[3] - times_s[0] > 2.5  # apart as they were measured
    assert {m.status.time_synced for m in messages} == {None}
    report = eventually(lambda: live.messages(DEVICE, "status")[1:])[-1]
    assert report.health.time_synced is None


def test_without_a_time_server_messages_say_that_their_time_is_an_estimate(
    device, mosquitto, live, hardware
):
    hardware.is_clock_set = False
    device(mosquitto, publish_rate_ms=500, ntp=f"127.0.0.1:{free_port()}")
    messages = eventually(lambda: live.messages(DEVICE, "telemetry")[1:], timeout=40)
    assert {m.status.time_synced for m in messages} == {False}
    year = dt.datetime.fromtimestamp(messages[0].timestamp, dt.UTC).year
    assert year == 2026  # when the firmware was built: a time of the contract
    assert live.messages(DEVICE, "status")[0].health.time_synced is False


def _with_wrong_ids(data):
    """PUBACKs of other packets; a chunk may hold several."""
    return data.replace(b"\x40\x02\x00", b"\x40\x02\x77")


def _late(data):
    threading.Event().wait(12)  # more than the device waits for a CONNACK
    return data


def _lie(between):
    between.replies = _with_wrong_ids


def _dawdle(between):
    between.replies = _late
    between.reset()


TROUBLES = {  # what is done to the connection, and what the device says of it
    "fin": (lambda between: between.finish(), "closed by the broker"),
    "rst": (lambda between: between.reset(), "no broker (connection lost"),
    "black_hole": (lambda between: between.pause(), "no answer in time"),
    "half_open": (lambda between: between.half_open(), "no answer in time"),
    "wrong_id": (_lie, "no answer in time"),
    "slow_connack": (_dawdle, "no CONNACK in time"),
}


def _heal(between):
    between.replies = None
    between.cut()
    between.resume()


def _online(live, device_id):
    return [m for m in live.messages(device_id, "status") if m.state == "online"]


def test_whatever_becomes_of_the_connection_the_device_recovers_and_loses_nothing(
    device, mosquitto, live, proxy
):
    betweens = {name: proxy(mosquitto.host, mosquitto.port) for name in TROUBLES}
    running = {
        name: device(between, f"oven-{name}", publish_rate_ms=500)
        for name, between in betweens.items()
    }
    for name in TROUBLES:
        eventually(lambda n=name: live.messages(f"oven-{n}", "telemetry"), timeout=30)
    said = {name: len(_online(live, f"oven-{name}")) for name in TROUBLES}
    for name, (make_trouble, _) in TROUBLES.items():
        make_trouble(betweens[name])
    for name, (_, text) in TROUBLES.items():
        lines = running[name].output
        eventually(lambda o=lines, t=text: any(t in line for line in o), timeout=40)
    for name, between in betweens.items():
        if name not in {"fin", "rst"}:  # those connect again by themselves
            _heal(between)
    healed_s = time.time()
    for name in TROUBLES:
        eventually(lambda n=name: live.is_fresh(f"oven-{n}", healed_s), timeout=40)
        assert len(_online(live, f"oven-{name}")) > said[name]
    for name, one in running.items():
        account = one.stop()
        assert account["unacked"] == 0, name
        live.until_offline(f"oven-{name}")
        messages = live.messages(f"oven-{name}", "telemetry")
        sequences = [m.seq for m in messages]
        assert set(sequences) == set(range(max(sequences) + 1)), name
        assert not any("task failed" in line for line in one.output), one.output
        assert messages[-1].status.dropped == 0


def test_a_flood_and_a_retained_message_beyond_all_measure_are_survived(
    device, mosquitto, live
):
    config = Topic("factory", DEVICE, "config")
    live.publish(config, b"x" * 60_000, retain=True)  # comes with each connection
    running = device(mosquitto, publish_rate_ms=300)
    seen = eventually(lambda: live.messages(DEVICE, "telemetry"))[-1].seq
    for number in range(200):
        live.publish(config, b"%d" % number + b"y" * 4000)
    eventually(lambda: live.messages(DEVICE, "telemetry")[-1].seq > seen + 5)
    assert running.stop()["unacked"] == 0
    live.until_offline(DEVICE)
    assert len(_online(live, DEVICE)) >= 1
    assert not any("lost" in line for line in running.output), running.output
    sequences = [m.seq for m in live.messages(DEVICE, "telemetry")]
    assert sequences == list(range(len(sequences)))


@pytest.mark.parametrize(
    ("period_ms", "outage"),
    [
        (100, 150),
        pytest.param(5000, 96, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_after_an_outage_the_last_hundred_messages_arrive_once_in_order_and_marked(
    device, mosquitto, live, proxy, period_ms, outage
):
    between = proxy(mosquitto.host, mosquitto.port)
    period_s = period_ms / 1000
    running = device(between, publish_rate_ms=period_ms)
    eventually(lambda: live.messages(DEVICE, "telemetry")[1:], timeout=30)
    between.refuse()
    eventually(lambda: DEVICE in live.wills)
    known = [m.seq for m in live.messages(DEVICE, "telemetry")]
    begun = running.newest_segment()
    eventually(  # an outage of so many messages, however slow the machine is
        lambda: running.newest_segment() > begun + outage // 10,
        timeout=60 + 2 * outage * period_s,
    )
    between.accept()
    eventually(
        lambda: (
            not live.messages(DEVICE, "telemetry")[-1].buffered
            and len(live.messages(DEVICE, "telemetry")) > len(known) + min(outage, 100)
        ),
        timeout=30 + 2 * period_s,
    )
    assert running.stop()["unacked"] == 0
    live.until_offline(DEVICE)
    messages = live.messages(DEVICE, "telemetry")
    history = [m.seq for m in messages[len(known) :] if m.buffered]
    assert history == sorted(set(history))  # in order, each once
    arrived = {m.seq for m in messages}
    missing = sorted(set(range(max(arrived) + 1)) - arrived)
    first = max([*known, *missing]) + 1
    waited = [seq for seq in history if seq >= first]
    kept = min(outage, 100) - 5  # some are sent while the next ones come
    assert waited[:kept] == list(range(first, first + kept))
    assert live.messages(DEVICE, "status")[-1].health.dropped == len(missing)
    if outage > 100:
        # The oldest, but for one that was on its way: that goes first, once it can.
        not_known = sorted(set(range(max(arrived) + 1)) - set(known))
        assert missing
        assert set(missing) <= set(not_known[: len(missing) + 1])
    else:
        assert not missing
