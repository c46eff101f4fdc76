"""Rules of the connection: who connects, its last will, and how messages travel."""

from collections.abc import Iterator

from egiz_schema import DecodeError, Status, Telemetry, decode
from egiz_schema.delivery import DELIVERY

from egiz_sim.conformance import frames
from egiz_sim.conformance.evidence import Evidence, NotTried, Seen, members
from egiz_sim.conformance.resent import is_of_before, own_statuses
from egiz_sim.conformance.rules.rule import Rules

RULES = Rules()
_RECENT = 3  # before and after it, as a broker may send the retained one a bit late


@RULES.add(
    "connect.client_id",
    "The MQTT client id is the device id.",
    "read in CONNECT",
    "Connect with the device id as client id: the broker's access list goes by it.",
)
def _client_id(evidence: Evidence) -> Iterator[str]:
    for session in evidence.readable():
        if session.connect and session.connect.client_id != evidence.device_id:
            yield f"its client id is {session.connect.client_id!r}"


@RULES.add(
    "connect.subscribes",
    "After each CONNACK it subscribes to config and command at QoS 1.",
    "read in SUBSCRIBE of each connection",
    "Subscribe to both in the handler of CONNACK, not once at the start.",
)
def _subscribes(evidence: Evidence) -> Iterator[str]:
    for session in evidence.readable():
        for kind in ("config", "command"):
            found = [
                qos
                for each, qos in session.filters.items()
                if _matches(each, evidence.topic(kind))
            ]
            if not found and not session.is_resumed:
                yield f"it did not subscribe to {kind}"
            elif found and not max(found):
                yield f"it subscribed to {kind} at QoS 0"


@RULES.add(
    "connect.acknowledges",
    "It acknowledges each message that it receives at QoS 1.",
    "PUBACK of each config and command",
    "Let the MQTT library send PUBACK, or send it when the message is read.",
)
def _acknowledges(evidence: Evidence) -> Iterator[str]:
    sessions = evidence.readable()
    if not any(message.qos for session in sessions for message in session.received):
        raise NotTried("it received nothing at QoS 1")
    late = sum(
        session.has_got(since)
        for session in sessions
        for since in session.unacknowledged.values()
    )
    if late:
        yield f"{late} received messages have no PUBACK"


@RULES.add(
    "will.given",
    "It gives the broker a last will for its status topic: state offline.",
    "read in CONNECT",
    'Give CONNECT a last will: {"device_id":…,"state":"offline","boot":…}.',
)
def _will_given(evidence: Evidence) -> Iterator[str]:
    for session in evidence.readable():
        will = session.connect.will if session.connect else None
        if will is None:
            yield "CONNECT has no last will"
            continue
        if will.topic != evidence.topic("status"):
            yield f"the topic of the last will is {will.topic!r}"
            continue
        try:
            status = decode(will.topic, will.payload, Status)
        except DecodeError as error:
            yield f"the last will is refused by readers: {error}"
            continue
        if status.state != "offline":
            yield f"the state of the last will is {status.state!r}"


@RULES.add(
    "will.delivery",
    "The last will has QoS 1 and is retained.",
    "read in CONNECT",
    "Set will QoS 1 and will retain, so that a later service sees that it is gone.",
)
def _will_delivery(evidence: Evidence) -> Iterator[str]:
    for will in _wills(evidence):
        if will.qos != DELIVERY["status"].qos:
            yield f"it has QoS {will.qos}"
        if not will.is_retained:
            yield "it is not retained"


@RULES.add(
    "will.boot",
    "The last will is of this boot, and has no timestamp.",
    "read in CONNECT, and compared with the birth",
    "Compose the will at each CONNECT, with the boot of the birth and without a time.",
)
def _will_boot(evidence: Evidence) -> Iterator[str]:
    _wills(evidence)  # raises if there is none
    for session in evidence.readable():
        will = session.connect.will if session.connect else None
        if will is None:
            continue
        try:
            status = decode(evidence.topic("status"), will.payload, Status)
        except DecodeError:
            raise NotTried("it cannot be read, as another rule says") from None
        boots = {each.boot for each in own_statuses(evidence, session)}
        if boots and status.boot not in boots:
            yield f"its boot is {status.boot}, that of the births {_joined(boots)}"
        if status.timestamp is not None:
            yield "it has a timestamp, which was that of CONNECT"


@RULES.add(
    "birth.first",
    "The birth comes after each CONNACK, before all else.",
    "the first message of each connection that was not given to the one before",
    "Publish the birth in the handler of CONNACK, before readings that waited.",
)
def _birth_first(evidence: Evidence) -> Iterator[str]:
    for session in evidence.readable():
        sent = session.sent
        own = (each for each in sent if not is_of_before(evidence, session, each))
        first = next(own, None)
        if first is None:
            continue
        try:
            message = decode(evidence.topic("status"), first.payload, Status)
        except DecodeError:
            message = None
        if first.topic != evidence.topic("status"):
            yield f"the first message went to {first.topic}"
        elif message is not None and message.state == "offline":
            yield "the first status says offline"


@RULES.add(
    "delivery.qos",
    "Each message is published at QoS 1.",
    "read in each PUBLISH",
    "Publish at QoS 1; use a library that can, as PubSubClient cannot.",
)
def _qos(evidence: Evidence) -> Iterator[str]:
    for topic, qos in _published(evidence):
        if qos != 1:
            yield f"{topic.rpartition('/')[2]} was published at QoS {qos}"


@RULES.add(
    "retain.status",
    "Each status is retained.",
    "read in PUBLISH, or what the broker had kept at the end",
    "Set the retain flag of birth, answers and offline.",
)
def _retain_status(evidence: Evidence) -> Iterator[str]:
    yield from _not_retained(evidence, "status")


@RULES.add(
    "retain.telemetry",
    "Telemetry is retained, unless it is buffered.",
    "read in PUBLISH, or what the broker had kept at the end",
    "Set the retain flag of readings that are the current state.",
)
def _retain_telemetry(evidence: Evidence) -> Iterator[str]:
    yield from _not_retained(evidence, "telemetry")


@RULES.add(
    "retain.history",
    "What is buffered is not retained.",
    "read in PUBLISH after an outage",
    "Clear the retain flag where buffered is true: history is no current state.",
)
def _retain_history(evidence: Evidence) -> Iterator[str]:
    history = [
        each
        for _, each in evidence.sent()
        if each.topic == evidence.topic("telemetry") and _is_buffered(each)
    ]
    if not history:
        raise NotTried("nothing came that is marked as buffered")
    if any(each.is_retained for each in history):
        yield "a buffered reading has the retain flag"


@RULES.add(
    "topic.own",
    "It publishes to its own topics telemetry and status, and to no other.",
    "read in each PUBLISH, or the topics one level below the device",
    "Publish to sensors/FACILITY/DEVICE_ID/telemetry and …/status only.",
)
def _topic_own(evidence: Evidence) -> Iterator[str]:
    own = {evidence.topic("telemetry"), evidence.topic("status")}
    for topic, _ in _published(evidence):
        if topic not in own:
            yield f"it published to {topic[:100]!r}"


def _published(evidence: Evidence) -> list[tuple[str, int]]:
    """Topic and QoS of each message; raises NotTried, as nothing has no fault."""
    try:
        found = [(each.topic, each.qos) for _, each in evidence.sent()]
    except NotTried:  # QoS 2 looks like 1, at the subscription of the check
        found = [(each.topic, each.qos) for each in evidence.live()]
    if not found:
        raise NotTried("nothing came")
    return found


def _not_retained(evidence: Evidence, kind: str) -> Iterator[str]:
    try:
        sent = [each for _, each in evidence.sent()]
    except NotTried:
        yield from _not_kept(evidence, kind)
        return
    current = [
        each
        for each in sent
        if each.topic == evidence.topic(kind)
        and not (kind == "telemetry" and _is_buffered(each))
    ]
    if not current:
        raise NotTried(f"it published no {kind}")
    lacking = [each for each in current if not each.is_retained]
    if lacking:
        yield f"{len(lacking)} of {len(current)} have no retain flag"


def _not_kept(evidence: Evidence, kind: str) -> Iterator[str]:
    """What a subscriber sees of it: whether the broker had kept one of the last.

    More came since: the config that was found is put back after that.
    """
    came = [e for e in evidence.live() if e.kind == kind and not _is_history(e)]
    kept = [each for each in evidence.kept if each.kind == kind]
    asked = kept[-1].at if kept else evidence.asked
    before = [each.payload for each in came if each.at <= asked]
    after = [each.payload for each in came if each.at > asked]
    if not before:
        raise NotTried(f"no {kind} came")
    if not kept:
        yield "the broker has kept none"
    elif kept[-1].payload not in [*before[-_RECENT:], *after[:_RECENT]]:
        yield "the broker has kept an older one"


def _wills(evidence: Evidence) -> list[frames.Will]:
    connects = [session.connect for session in evidence.readable()]
    found = [each.will for each in connects if each and each.will]
    if not found:
        raise NotTried("there is no last will, as another rule says")
    return found


def _is_buffered(publish: frames.Publish) -> bool:
    return members(publish.payload).get("buffered") is True


def _is_history(seen: Seen) -> bool:
    return isinstance(seen.message, Telemetry) and seen.message.buffered


def _matches(pattern: str, topic: str) -> bool:
    """Whether a filter of MQTT covers a topic (4.7)."""
    steps, levels = pattern.split("/"), topic.split("/")
    if steps[-1] == "#":
        levels = levels[: len(steps) - 1]
        steps = steps[:-1]
    return len(steps) == len(levels) and all(
        step in {"+", level} for step, level in zip(steps, levels, strict=True)
    )


def _joined(boots: set[int | None]) -> str:
    return ", ".join(sorted(map(str, boots))) or "unknown"
