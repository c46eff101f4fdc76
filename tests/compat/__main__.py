"""`python -m compat`: every difference between egiz-bridge and Telegraf.

Exit codes: 0 no difference that is not explained, 1 there is one, 2 no Telegraf here.
"""

import sys
from collections import defaultdict
from typing import NamedTuple

from bridge import telegraf
from rich.console import Console
from rich.table import Table

from compat.cases import Case, cases
from compat.peers import Written, feed
from compat.points import differences

# Why a message that is not of the contract makes a point, by its reason.
_NOT_CHECKED = {
    "charset": "it does not check texts",
    "duplicate": "its JSON parser accepts it",
    "empty": "it does not require a reading",
    "missing": "it has no required fields",
    "not_json": "its JSON parser accepts it",
    "not_utf8": "its JSON parser accepts it",
    "range": "it checks no ranges",
    "too_large": "it has no limit of size",
    "type": "its converter skips what it cannot convert",
}


class Found(NamedTuple):
    """A vector and its differences; `why` is empty if they are not explained."""

    case: Case
    differences: list[str]
    why: str


def main() -> int:
    """Feed both, compare, print."""
    program = telegraf.build()
    if program is None:
        return 2
    everything = list(cases())
    written = feed(program, everything)
    found = list(compared(everything, written))
    _show(found, len(everything), telegraf.version(program))
    return int(any(not one.why for one in found))


def compared(everything: list[Case], written: Written) -> list[Found]:
    """Those that differ. Two wrong results that agree are a difference, too."""
    found = []
    for case in everything:
        ours = written.bridge.get(case.topic.facility, [])
        theirs = written.telegraf.get(case.topic.facility, [])
        if len(ours) != case.points:
            found.append(Found(case, [f"egiz-bridge writes {len(ours)} points"], ""))
        elif differing := differences(ours, theirs):
            found.append(Found(case, differing, _why(case)))
    return found


def _why(case: Case) -> str:
    if case.vector["verdict"] == "either":
        return "the contract leaves it to readers"
    if case.vector["verdict"] == "repair":
        return "it leaves out no wrong reading"
    return _NOT_CHECKED.get(case.vector.get("reason", ""), "")


def _show(found: list[Found], messages: int, name: str) -> None:
    table = Table(title=f"{name} beside egiz-bridge, {messages} messages")
    for column in ("the contract says", "message", name, "why"):
        table.add_column(column)
    together: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for case, differing, why in found:
        verdict = " ".join([case.vector["verdict"], case.vector.get("reason", "")])
        together[verdict, "; ".join(differing), why].append(case.name)
    for (verdict, what, why), names in sorted(together.items()):
        table.add_row(verdict, "\n".join(names), what, why or "[red]not explained")
    Console(width=160).print(table)
    print(f"{messages - len(found)} of {messages} messages: no difference")


if __name__ == "__main__":
    sys.exit(main())
