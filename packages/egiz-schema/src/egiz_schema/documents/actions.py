"""What commands may order: the table of `egiz_schema.orders`, for people."""

from typing import Any

from egiz_schema.orders import ACTIONS

_MEANINGS = {
    "reboot": "Restarts the device; what waits in the outbox stays",
    "identify": "Lights the LED, for 10 s unless `seconds` says otherwise",
    "sample_now": "Measures and publishes at once",
    "reset_energy": "Sets the energy counters of all meters to zero",
    "factory_reset": "Deletes configuration and outbox; also what was provisioned, on"
    " a device that a phone can set up",
    "ota": "Installs a release now, as `firmware` of a config does when it may",
    "rollback": "Runs the release of before again",
    "portal": "Opens the access point for new settings",
}
_INTRODUCTION = """\
## Actions

What `action` of a command may say. A device obeys those that `can` of its status lists,
and answers others with `refused`. An argument in brackets may be left out; one that is
not here is refused. *Confirm*: `confirm` must be the id of the device. *Again*: whether
it may be sent twice without harm.

| action | arguments | confirm | again | what it does |
|---|---|---|---|---|
"""


def actions_table() -> str:
    """A row for each action, in the order of the table."""
    return _INTRODUCTION + "\n".join(map(_line, ACTIONS)) + "\n"


def _line(action: str) -> str:
    rules, required, is_dangerous, is_repeatable = ACTIONS[action]
    arguments = [
        f"`{name}` {_span(rule)}" if name in required else f"[`{name}` {_span(rule)}]"
        for name, rule in rules.items()
    ]
    cells = (
        f"`{action}`",
        ", ".join(arguments),
        "yes" if is_dangerous else "no",
        "yes" if is_repeatable else "no",
        _MEANINGS[action],
    )
    return f"| {' | '.join(cells)} |"


def _span(rule: tuple[str, Any, Any]) -> str:
    kind, low, high = rule
    unit = "" if kind == "an integer" else " characters"
    return f"{kind}, {low} to {high}{unit}"
