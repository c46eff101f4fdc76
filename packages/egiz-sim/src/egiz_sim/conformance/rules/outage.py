"""Rules of an outage: what was measured meanwhile arrives, marked, in order."""

import itertools
from collections import Counter
from collections.abc import Iterator
from statistics import median

from egiz_sim.conformance.evidence import Evidence, NotTried, Reading
from egiz_sim.conformance.rules.rule import Rules

RULES = Rules()
_GAP = 2.5  # intervals


@RULES.add(
    "outage.kept",
    "What is measured in an outage is kept, and arrives when it is over.",
    "the proxy refuses connections; seq of what follows, or its times",
    "Keep readings that were not acknowledged, and publish them after the birth.",
)
def _kept(evidence: Evidence) -> Iterator[str]:
    after = evidence.after_outage()
    if not after:
        yield "no telemetry came after the outage"
        return
    if evidence.counts_by_one():
        if missing := evidence.missing():
            _raise_if_dropped(evidence, len(missing))
            yield f"{len(missing)} readings are missing, from seq {min(missing)} on"
        return
    longest, usual = _gaps(evidence, [*evidence.calm(), *after])
    outage = evidence.outage
    assert outage is not None
    # A device that is busy leaves gaps, too, but not one of half the outage.
    if longest > max(_GAP * usual, (outage.back - outage.cut) / 2):
        _raise_if_dropped(evidence, 1)
        yield f"nothing was measured for {longest:.1f} s"


def _raise_if_dropped(evidence: Evidence, missing: int) -> None:
    """Raise NotTried of a device that kept some, and says that it dropped the others.

    How many it keeps is its own, or its configuration's.
    """
    after = evidence.after_outage()
    dropped = _dropped(after) - _dropped(evidence.calm())
    if dropped >= missing and any(each.message.buffered for each in after):
        raise NotTried(f"it dropped {dropped}, as it says: try a shorter --outage")


def _dropped(readings: list[Reading]) -> int:
    counts = [each.message.status.dropped for each in readings if each.message.status]
    return max((count for count in counts if count is not None), default=0)


def _gaps(evidence: Evidence, readings: list[Reading]) -> tuple[float, float]:
    """Seconds between readings: the longest in the outage, and the median of all."""
    outage = evidence.outage
    assert outage is not None
    times = sorted({evidence.epoch_of(each) for each in readings})
    pairs = list(itertools.pairwise(times))
    of_outage = [
        later - earlier
        for earlier, later in pairs
        if later > evidence.cut_epoch() and earlier < outage.back_epoch
    ]
    if not pairs:
        raise NotTried("no seq and no clock tell its readings from each other")
    return max(of_outage, default=0.0), median(b - a for a, b in pairs)


@RULES.add(
    "outage.once",
    "Each reading of the outage arrives once.",
    "boot and seq, or the time, of what follows the outage",
    "Forget a reading at its PUBACK, and replay each waiting one once.",
)
def _once(evidence: Evidence) -> Iterator[str]:
    evidence.of_outage()
    counts = Counter(each.name for each in evidence.after_outage())
    again = [name for name, count in counts.items() if count > 1]
    if again:
        yield f"{len(again)} readings came more than once"


@RULES.add(
    "outage.order",
    "Buffered readings arrive in the order in which they were measured.",
    "seq, or the time, of those that are marked as buffered",
    "Publish the oldest first.",
)
def _order(evidence: Evidence) -> Iterator[str]:
    found = [each for each in evidence.of_outage() if each.message.buffered]
    if not found:
        raise NotTried("none is marked as buffered, as another rule says")
    names = [each.name[1] for each in found]
    # Where one comes again, its first place counts.
    firsts = list(dict.fromkeys(names))
    if firsts != sorted(firsts):
        yield "a newer one came before an older one"


@RULES.add(
    "outage.marked",
    "Readings of the outage have buffered: true, and no others.",
    "those that were measured before the device was connected again",
    'Add "buffered":true to a reading that was not published when it was measured.',
)
def _marked(evidence: Evidence) -> Iterator[str]:
    found = evidence.of_outage()
    # One that was on its way when the connection broke is sent again, as it was; so is
    # one that was given to a connection whose end was not noticed yet.
    resent = {message.payload for _, message in evidence.sent() if message.is_dup}
    unmarked = [
        each
        for each in found
        if not each.message.buffered
        and each.seen.payload not in resent
        and evidence.is_after(each, evidence.cut_epoch())
    ]
    if unmarked:
        yield f"{len(unmarked)} readings of the outage are not marked"
    if all(each.message.buffered for each in evidence.after_outage()):
        yield "every reading since the outage is marked"


@RULES.add(
    "outage.times",
    "timestamp is when it was measured, not when it was sent.",
    "times of the buffered readings, compared with the outage",
    "Write the time into the reading when it is measured.",
)
def _times(evidence: Evidence) -> Iterator[str]:
    buffered = [each for each in evidence.of_outage() if each.message.buffered]
    if not buffered:
        raise NotTried("none is marked as buffered, as another rule says")
    back = evidence.after_return()
    late = [each for each in buffered if evidence.epoch_of(each) >= back]
    # Those of the last moments may seem to be, by the clock of this machine.
    if 2 * len(late) > len(buffered):
        yield f"{len(late)} of {len(buffered)} have a time of after the outage"
