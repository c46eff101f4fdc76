"""Rules of commands: each is executed at most once, or refused with a reason."""

from collections.abc import Iterator

from egiz_schema import CommandResult, Status

from egiz_sim.conformance.command_steps import QUIET_S
from egiz_sim.conformance.evidence import Evidence, NotTried, without_time
from egiz_sim.conformance.orders import BURST
from egiz_sim.conformance.rules.rule import Rules

RULES = Rules()
_ENDED = {"done", "failed", "refused"}


@RULES.add(
    "command.answered",
    "A command is answered by a status with its id and result.",
    "identify, or sample_now",
    'Publish a status with "last_command":{"id":…,"result":"done"}.',
)
def _answered(evidence: Evidence) -> Iterator[str]:
    order = evidence.order("command.done")
    if order.answer is None:
        yield "no status answered it"
        return
    result = _result(order.status)
    if result.result not in _ENDED:
        yield f"its result is {result.result!r}, none of {', '.join(sorted(_ENDED))}"
    elif result.result != "done":
        yield f"{order.document['action']} ended as {result.result}: {result.error}"


@RULES.add(
    "command.once",
    "A command is answered once.",
    f"two commands; statuses that say the same within {QUIET_S:g} s",
    "Execute and answer at one place; a redelivery (DUP) has an id that was seen.",
)
def _once(evidence: Evidence) -> Iterator[str]:
    counts = []
    for label in ("done", "again"):
        order = evidence.order(f"command.{label}")
        command_id, answer = order.document["id"], order.status
        counts.append(
            sum(
                status.last_command is not None
                and status.last_command.id == command_id
                and _says_the_same(status, answer)
                and seen.at - order.at < QUIET_S + 1
                for seen, status in evidence.statuses()
            )
        )
    if min(counts) > 1:  # both: a periodic status may follow one of them
        yield f"{min(counts)} statuses with the same answer"


@RULES.add(
    "command.repeated",
    "A command whose id was seen before is refused.",
    "the first command, sent again",
    "Keep the ids of the last commands, in flash if there is one.",
)
def _repeated(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "repeated")


@RULES.add(
    "command.expired",
    "A command whose expires_at is past is refused.",
    "a command that expired yesterday",
    "Compare expires_at with the clock; without a clock, refuse it.",
)
def _expired(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "expired")


@RULES.add(
    "command.retained",
    "A retained command is refused: it comes at each connect.",
    "a command that the broker keeps over the outage",
    "Look at the retain flag of the message that is received.",
)
def _retained(evidence: Evidence) -> Iterator[str]:
    order = evidence.order("command.retained")
    topic = evidence.topic("command")
    delivered = [
        message
        for session in evidence.sessions
        for message in session.received
        if message.topic == topic and message.payload == order.payload
    ]
    if not delivered:
        raise NotTried("the broker did not deliver it, or not so that it can be read")
    if not delivered[0].is_retained:
        raise NotTried("its session is kept, so it came without the retain flag")
    yield from _not_refused_command(evidence, "retained")


@RULES.add(
    "command.unknown",
    "An action that the device does not know is refused.",
    "the action no_such_action",
    'Answer "refused" to any action that is not in the list of the device.',
)
def _unknown_action(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "unknown")


@RULES.add(
    "command.device",
    "A command that names another device is refused.",
    "a command for another-device-0",
    "Compare device_id of the payload with the device's own.",
)
def _other_device(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "other")


@RULES.add(
    "command.arguments",
    "An argument that the action does not have is refused.",
    "the argument no_such_argument",
    "Refuse unknown arguments: whoever wrote one expects an effect.",
)
def _arguments(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "arguments")


@RULES.add(
    "command.malformed",
    "A command that is no JSON is refused.",
    "the first half of a JSON object",
    'Answer {"id":"?","result":"refused","error":…}, and go on.',
)
def _malformed_command(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "malformed")


@RULES.add(
    "command.reason",
    "A refusal has its reason as error.",
    "the refusals above",
    'Add "error" to last_command where result is "refused".',
)
def _reason(evidence: Evidence) -> Iterator[str]:
    labels = ("repeated", "expired", "unknown", "other", "arguments", "malformed")
    refused = []
    for label in labels:
        order = evidence.order(f"command.{label}")
        if order.answer is not None and _result(order.status).result == "refused":
            refused.append((label, _result(order.status)))
    if not refused:
        raise NotTried("it refuses nothing, as other rules say")
    for label, result in refused:
        if not result.error:
            yield f"the refusal of {label!r} has no error"


@RULES.add(
    "command.burst",
    "Each of many commands is answered; a device that has no room says busy.",
    f"{BURST} commands at once",
    "Queue some, and refuse the others with an error: each gets a status of its own.",
)
def _burst(evidence: Evidence) -> Iterator[str]:
    orders = [evidence.order(f"command.burst.{number}") for number in range(BURST)]
    silent = sum(order.answer is None for order in orders)
    if silent:
        yield f"{silent} of {BURST} were not answered"


@RULES.add(
    "update.refused",
    "An update that cannot be done is refused, and that is said.",
    "the command ota without version and url",
    "Check the arguments of ota before anything is downloaded.",
)
def _update(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused_command(evidence, "ota")


@RULES.add(
    "reboot.counted",
    "A restart is a new boot, one more than before.",
    "the command reboot, and the birth that follows",
    "Count the starts in flash, before the first message.",
)
def _reboot(evidence: Evidence) -> Iterator[str]:
    if "command.reboot" not in evidence.orders:
        raise NotTried(evidence.reason("restart"))
    order = evidence.order("command.reboot")
    if order.answer is None:
        yield "the command was not answered before the restart"
        return
    if _result(order.status).result != "done":
        raise NotTried(f"it was not done: {_result(order.status).error}")
    before = order.status.boot
    after = {status.boot for seen, status in evidence.statuses() if seen.at > order.at}
    if before is None:
        raise NotTried("it has no boot counter")
    if before + 1 not in after:
        yield f"boot {before} was not followed by {before + 1}"


def _not_refused_command(evidence: Evidence, label: str) -> Iterator[str]:
    order = evidence.order(f"command.{label}")
    if order.answer is None:
        yield "no status answered it"
        return
    result = _result(order.status).result
    if result != "refused":
        yield f"its result is {result!r}"


def _result(status: Status) -> CommandResult:
    assert status.last_command is not None, "the step waited for it"
    return status.last_command


def _says_the_same(first: Status, second: Status) -> bool:
    return without_time(first) == without_time(second)
