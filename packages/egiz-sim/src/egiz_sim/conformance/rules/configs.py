"""Rules of configs: what is desired is in force, or is refused as a whole."""

from collections.abc import Iterator
from zlib import crc32

from egiz_schema import AppliedConfig

from egiz_sim.conformance.evidence import Evidence, NotTried
from egiz_sim.conformance.rules.rule import Rules
from egiz_sim.conformance.steps import RATE_TOLERANCE, SLOWER

RULES = Rules()
_MEND_REFUSAL = (
    'Answer with "config":{…,"refused":{"rev":…,"crc":…,"error":…}}, and keep what is'
    " in force."
)


@RULES.add(
    "config.applied",
    "A config that is right is applied, and reported with its rev.",
    "a retained config with another publish_rate_ms",
    'Answer each config with a status: "config":{"rev":…,"crc":…,"applied":true}.',
)
def _applied(evidence: Evidence) -> Iterator[str]:
    order = evidence.order("config.config")
    if order.answer is None:
        yield "no status answered it"
        return
    report = _config(evidence, "config")
    if not report.applied:
        yield f"it was refused: {report.error}"
    elif report.rev != order.document["rev"]:
        yield f"rev {order.document['rev']} was reported as {report.rev}"


@RULES.add(
    "config.crc",
    "crc is the CRC-32 of the bytes of the config, applied or refused.",
    "the config above, and the one that is refused below",
    "Compute it over the payload as it was received, not over JSON of your own.",
)
def _crc(evidence: Evidence) -> Iterator[str]:
    report = _config(evidence, "config")
    if not report.applied:
        raise NotTried("it was refused, as another rule says")
    wanted = crc32(evidence.order("config.config").payload)
    if report.crc != wanted:
        yield f"crc is {report.crc}, not {wanted}"
    order = evidence.orders.get("config.refused")
    if order is None or order.answer is None:
        return
    refused = _config(evidence, "refused").refused
    if refused is not None and refused.crc != crc32(order.payload):
        yield f"crc of the refused one is {refused.crc}, not {crc32(order.payload)}"


@RULES.add(
    "config.rate",
    "publish_rate_ms is what lies between two readings.",
    f"the telemetry after the config, within {RATE_TOLERANCE:.0%}",
    "Restart the timer with the new rate when the config is applied.",
)
def _rate(evidence: Evidence) -> Iterator[str]:
    if not _config(evidence, "config").applied:
        raise NotTried("the config was refused, as another rule says")
    if "config" not in evidence.rates:
        yield "too few readings followed to see their interval"
        return
    wanted, found = evidence.rates["config"]
    if abs(found / wanted - 1) > RATE_TOLERANCE:
        yield f"{found:.2f} s lie between two readings, not {wanted:.2f} s"


@RULES.add(
    "config.refused",
    "A config with a member out of its range is refused, with rev and reason.",
    "buffer_size of 1000000, which the contract ends at 10000",
    _MEND_REFUSAL,
)
def _refused(evidence: Evidence) -> Iterator[str]:
    order = evidence.order("config.refused")
    if order.answer is None:
        yield "no status answered it"
        return
    report = _config(evidence, "refused")
    refused = report.refused
    if refused is None:
        yield "it was not refused"
        return
    if report.applied and report.crc == crc32(order.payload):
        yield "it is reported as what is in force, too"
    if refused.rev != order.document["rev"]:
        yield f"rev {order.document['rev']} was refused as {refused.rev}"
    if not refused.error:
        yield "it has no error: no person sees what is wrong"


@RULES.add(
    "config.whole",
    "Of a config that is refused, nothing is applied.",
    "the config above has another publish_rate_ms, which is right",
    "Check all members before the first is applied.",
)
def _whole(evidence: Evidence) -> Iterator[str]:
    if _config(evidence, "refused").refused is None:
        raise NotTried("it was not refused, as another rule says")
    if not {"config", "refused"} <= set(evidence.rates):
        raise NotTried("too few readings came to see their interval")
    # As it was before, whether or not that is what was ordered; or nearer to the other.
    before, after = evidence.rates["config"][1], evidence.rates["refused"][1]
    if after / before > SLOWER**0.5:
        yield f"{after:.2f} s lie between two readings, {before:.2f} s before it"


@RULES.add(
    "config.malformed",
    "A config that is no JSON is refused.",
    "the first half of a JSON object",
    _MEND_REFUSAL,
)
def _malformed(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused(evidence, "malformed", after="refused")


@RULES.add(
    "config.device",
    "A config that names another device is refused.",
    "a config for another-device-0",
    _MEND_REFUSAL,
)
def _other(evidence: Evidence) -> Iterator[str]:
    yield from _not_refused(evidence, "other", after="malformed")


@RULES.add(
    "config.same_rev",
    "Another config of the same rev is another config.",
    "the same rev with other bytes",
    "Compare the CRC-32 of the bytes to see whether a config is new, not its rev.",
)
def _same_rev(evidence: Evidence) -> Iterator[str]:
    first = _config(evidence, "first")
    if not first.applied or first.crc != crc32(evidence.order("config.first").payload):
        raise NotTried("the first of the two was not applied, or has a wrong crc")
    order = evidence.order("config.same_rev")
    if order.answer is None:
        yield "it was ignored"
    elif not _config(evidence, "same_rev").applied:
        yield f"it was refused: {_error(_config(evidence, 'same_rev'))}"


@RULES.add(
    "config.unknown",
    "Members that the device does not know are ignored.",
    "a config with the member of_a_newer_contract",
    "Ignore unknown members: a newer service may send them.",
)
def _unknown(evidence: Evidence) -> Iterator[str]:
    report = _config(evidence, "unknown")
    if report.refused is not None or not report.applied:
        yield f"it was refused: {_error(report)}"


def _config(evidence: Evidence, label: str) -> AppliedConfig:
    """What the device says of a config; raises NotTried."""
    status = evidence.order(f"config.{label}").status
    assert status.config is not None, "the step waited for it"
    return status.config


def _not_refused(evidence: Evidence, label: str, *, after: str) -> Iterator[str]:
    order = evidence.order(f"config.{label}")
    if order.answer is None:
        yield "no status answered it"
        return
    report = _config(evidence, label)
    # With nothing in force, the report itself is of the one that was refused.
    if report.refused is None and (report.applied or not report.error):
        yield "it was not refused"
    before = evidence.orders.get(f"config.{after}")
    if before is None or before.answer is None or report.refused is None:
        return
    if report.refused == _config(evidence, after).refused:
        yield "what was refused before it is reported, not this one"


def _error(report: AppliedConfig) -> str | None:
    return report.refused.error if report.refused else report.error
