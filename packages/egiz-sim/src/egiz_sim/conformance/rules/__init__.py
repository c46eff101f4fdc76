"""The rules, in the order in which a person mends a device."""

from egiz_sim.conformance.rules import commands, configs, connection, messages, outage
from egiz_sim.conformance.rules.rule import Rule, Verdict, judged

RULES: tuple[Rule, ...] = (
    *connection.RULES,
    *messages.RULES,
    *configs.RULES,
    *commands.RULES,
    *outage.RULES,
)

__all__ = ["RULES", "Rule", "Verdict", "judged"]
