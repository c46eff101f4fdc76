"""Rules of the messages: payloads, births, numbers, time."""

import itertools
from collections.abc import Iterator
from typing import Any

from egiz_schema import Status, limits
from egiz_schema.problems import problems

from egiz_sim.conformance.evidence import (
    Evidence,
    NotTried,
    Reading,
    Seen,
    has_clock,
    members,
    numbers_of,
)
from egiz_sim.conformance.resent import own_statuses
from egiz_sim.conformance.rules.rule import Rules

RULES = Rules()
CLOCK_S = 60  # a device with a time server is right within less


@RULES.add(
    "payload.valid",
    "Each payload follows the contract; a writer is forgiven nothing.",
    "each message, by the rules of egiz-schema",
    "See `egiz-schema explain FIELD`, and try payloads with `egiz-schema validate`.",
)
def _valid(evidence: Evidence) -> Iterator[str]:
    for each in _messages(evidence):
        for problem in problems(evidence.parsed_topic(each.kind), each.payload):
            if problem.reason != "device_mismatch":
                yield f"{each.kind}, {problem.path}: {problem.sentence}"


@RULES.add(
    "payload.device",
    "The device id of a payload is that of its topic.",
    "each message",
    "Make topic and payload of the same name.",
)
def _device(evidence: Evidence) -> Iterator[str]:
    for each in _messages(evidence):
        found = problems(evidence.parsed_topic(each.kind), each.payload)
        if any(problem.reason == "device_mismatch" for problem in found):
            yield f"{each.kind} is of another device"


@RULES.add(
    "birth.fields",
    "A birth says which schema and firmware it is, and when.",
    "schema, firmware_version and timestamp of the first status of each connection",
    'Add "schema":"1", "firmware_version" and "timestamp" to the birth.',
)
def _birth_fields(evidence: Evidence) -> Iterator[str]:
    births = [own_statuses(evidence, each)[:1] for each in evidence.readable()]
    if not any(births):
        raise NotTried("there was no status but a last will")
    for birth in itertools.chain.from_iterable(births):
        yield from _lacks(birth)


def _lacks(birth: Status) -> Iterator[str]:
    if birth.schema != str(limits.WIRE_VERSION):
        yield f"schema is {birth.schema!r}, not '{limits.WIRE_VERSION}'"
    if birth.firmware_version is None:
        yield "firmware_version is missing"
    if birth.timestamp is None and has_clock(birth.health):
        yield "timestamp is missing, and health.time_synced is not false"


@RULES.add(
    "birth.channels",
    "A birth declares each value, counter and contact of the telemetry.",
    "names in telemetry, compared with channels of the statuses",
    'Add "channels":{NAME:{"quantity":…}} to the birth.',
)
def _birth_channels(evidence: Evidence) -> Iterator[str]:
    used = _channels(evidence)
    declared: set[str] = set()
    for _, status in evidence.statuses():
        declared |= set(status.channels or ())
    for name in sorted(used - declared):
        yield f"{name} is not declared"


@RULES.add(
    "status.channels",
    "Each status repeats the channels, as the last one is what is retained.",
    "channels of each status",
    "Write channels into every status that the device sends, not in the birth alone.",
)
def _status_channels(evidence: Evidence) -> Iterator[str]:
    statuses = [status for _, status in evidence.statuses()]
    if not any(status.channels for status in statuses):
        raise NotTried("it declares no channels")
    declared: dict[int | None, set[str]] = {}
    lacking = 0
    for status in statuses:
        before = declared.setdefault(status.boot, set())
        names = set(status.channels or ())
        lacking += not names or not names >= before
        before |= names
    if lacking:
        yield f"{lacking} of {len(statuses)} lack some, or all"


@RULES.add(
    "boot.same",
    "Telemetry and status name the same boot.",
    "boot of each message",
    "Read the boot counter once, at the start, and use it in all messages.",
)
def _boot(evidence: Evidence) -> Iterator[str]:
    births = {status.boot for _, status in evidence.calm_statuses()}
    used = {each.message.boot for each in evidence.calm() if not each.message.buffered}
    if not used | births or used | births == {None}:
        raise NotTried("it has no boot counter")
    for boot in used - births:
        yield f"telemetry is of boot {boot}, no birth is"


@RULES.add(
    "seq.counts",
    "seq counts telemetry by one within a boot.",
    "seq of the telemetry before the outage",
    "Count up once for each reading, also for one that waits; never within a resend.",
)
def _seq(evidence: Evidence) -> Iterator[str]:
    calm = evidence.calm()
    if all(each.message.seq is None for each in calm):
        raise NotTried("it has no seq: nothing counts what is missing")
    numbers = numbers_of(calm)
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            yield f"{before} is followed by {after}"
    if _counts_down(calm):
        yield "it counts down"
    for first, second in _same(calm):
        times = f"{first.time_s:.3f} and {second.time_s:.3f}"
        yield f"seq {first.message.seq} is of two readings, {times}"


@RULES.add(
    "time.clock",
    "timestamp is UTC in seconds, unless time_synced is false.",
    f"compared with this machine: at most {CLOCK_S} s",
    'Set the clock by NTP; while it is not set, send "status":{"time_synced":false}.',
)
def _clock(evidence: Evidence) -> Iterator[str]:
    readings = [each for each in evidence.readings() if not each.message.buffered]
    if not readings:
        raise NotTried("no telemetry came")
    times = [(each.time_s, each.seen) for each in readings if each.is_set]
    for time_s, seen in [*times, *_times_of_statuses(evidence)]:
        wrong = time_s - seen.epoch
        if abs(wrong) > CLOCK_S:
            side = "ahead" if wrong > 0 else "behind"
            yield f"{seen.kind} is {abs(wrong):.0f} s {side}"
            return


@RULES.add(
    "time.unique",
    "Two messages of one kind of a device never have the same time.",
    "timestamp and ms of telemetry and statuses",
    "Send ms; where the clock has not moved on, add one to the last time.",
)
def _unique(evidence: Evidence) -> Iterator[str]:
    readings = [(each.time_s, each.seen) for each in evidence.readings() if each.is_set]
    if len(readings) < 2:  # noqa: PLR2004  # one agrees with itself
        raise NotTried("fewer than two readings of a set clock came")
    found: dict[tuple[str, float], bytes] = {}
    for time_s, seen in [*readings, *_times_of_statuses(evidence)]:
        other = found.setdefault((seen.kind, time_s), seen.payload)
        if not _is_resent(other, seen.payload):
            yield f"two of {seen.kind} are of {time_s:.3f}"
            return


def _times_of_statuses(evidence: Evidence) -> list[tuple[float, Seen]]:
    """Of those that came before the outage, by a clock that is set."""
    return [
        (status.timestamp + status.ms / 1000, seen)
        for seen, status in evidence.calm_statuses()
        if status.timestamp is not None
        and not seen.is_kept
        and has_clock(status.health)
    ]


def _is_resent(first: bytes, second: bytes) -> bool:
    """Whether it is one message, which may have become history meanwhile."""
    if first == second:
        return True
    same = [{**members(each), "buffered": None} for each in (first, second)]
    return same[0] == same[1]


def _counts_down(readings: list[Reading]) -> bool:
    """Whether most of those that were sent when they were measured do, as they came."""
    live = [each for each in readings if not each.message.buffered]
    steps = [
        (first.message.seq or 0) > (second.message.seq or 0)
        for first, second in itertools.pairwise(live)
        if first.message.boot == second.message.boot
    ]
    return 2 * sum(steps) > len(steps)


def _same(readings: list[Reading]) -> Iterator[tuple[Reading, Reading]]:
    found: dict[Any, Reading] = {}
    for each in readings:
        if each.message.seq is None:
            continue
        other = found.setdefault(each.name, each)
        if other.time_s != each.time_s:
            yield other, each


def _messages(evidence: Evidence) -> list[Seen]:
    found = [each for each in evidence.live() if each.kind in {"telemetry", "status"}]
    if not found:
        raise NotTried("nothing came")
    return found


def _channels(evidence: Evidence) -> set[str]:
    used: set[str] = set()
    for each in evidence.readings():
        for group in (
            each.message.values,
            each.message.counters,
            each.message.contacts,
        ):
            used |= set(group or ())
    if not used:
        raise NotTried("it measures no channels")
    return used
