"""A rule of the contract, as a check tries it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from egiz_sim.conformance.evidence import Evidence, NotTried

FAULTS_SHOWN = 3

Judge = Callable[[Evidence], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What the contract says, how that is tried, and how to mend a device.

    Attributes:
        id: by which people and programs name it.
        says: what the contract says.
        tried: how.
        mend: what to do where it fails.
        judge: gives what is wrong, or raises NotTried.
    """

    id: str
    says: str
    tried: str
    mend: str
    judge: Judge


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one rule: `verdict` is pass, fail or not tried; `details` say why."""

    rule: Rule
    verdict: str
    details: tuple[str, ...] = ()


class Rules(list[Rule]):
    """Rules of one part of the contract; each is the function below its words."""

    def add(
        self, rule_id: str, says: str, tried: str, mend: str
    ) -> Callable[[Judge], Judge]:
        """Make a rule of the function that follows."""

        def added(judge: Judge) -> Judge:
            self.append(Rule(rule_id, says, tried, mend, judge))
            return judge

        return added


def judged(rule: Rule, evidence: Evidence) -> Verdict:
    """The verdict of a rule; one that has found a fault is tried, whatever follows."""
    found: dict[str, None] = {}  # each once, in order
    try:
        for fault in rule.judge(evidence):
            found[fault] = None
    except NotTried as reason:
        if not found:
            return Verdict(rule, "not tried", (str(reason),))
    faults = list(found)
    if not faults:
        return Verdict(rule, "pass")
    more = len(faults) - FAULTS_SHOWN
    rest = (f"and {more} more",) if more > 0 else ()
    return Verdict(rule, "fail", (*faults[:FAULTS_SHOWN], *rest))
