"""Whether a scenario ended as it should: what must hold follows from what happened."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from egiz_sim.device import Device
from egiz_sim.fleet import Fleet
from egiz_sim.scenario.archive import Archive
from egiz_sim.scenario.model import (
    FailSensor,
    Scenario,
    SendConfig,
    WrongClock,
)
from egiz_sim.scenario.operator import Operator
from egiz_sim.scenario.reading import chosen
from egiz_sim.scenario.rogue import RogueDevice
from egiz_sim.scenario.script import Script
from egiz_sim.sensors import SensorFault
from egiz_sim.updates import Outcome

_AHEAD_S = 600.0  # what a bridge may accept: its limit is lower
_ALL = 100  # percent
_SHOWN = 3  # devices that a check names
# How an update ends -> the state that its device reports then.
_ENDS: dict[Outcome, str] = {
    "good": "done",
    "slow": "done",
    "crash_loop": "rolled_back",
    "silent": "rolled_back",
    "refuses": "refused",
}


class Check(NamedTuple):
    """One of them; `says` is what was found."""

    name: str
    is_passed: bool
    says: str


class Run(NamedTuple):
    """What has happened; `archive` and `rejected` are of a run with its own bridge."""

    scenario: Scenario
    fleet: Fleet
    script: Script
    operator: Operator
    rogue: RogueDevice
    archive: Archive | None
    rejected: int | None


def checks(run: Run) -> list[Check]:
    """All that hold for this scenario."""
    found = [_acknowledged(run.fleet)]
    if run.archive is not None:
        found += _archived(run.fleet, run.archive)
        found += _history(run, run.archive)
        found += _fault_codes(run, run.archive)
        found += _times(run, run.archive)
        found += _rejected(run)
    return [*found, *_answered(run), *_last_wills(run), *_updates(run)]


def show(found: list[Check], console: Console) -> None:
    """Print the verdict."""
    table = Table(title="Verdict", title_justify="left")
    for column in ("check", "", "found"):
        table.add_column(column)
    for check in found:
        word = "passed" if check.is_passed else "[red]FAILED[/red]"
        table.add_row(check.name, word, check.says)
    console.print(table)


def _acknowledged(fleet: Fleet) -> Check:
    missing = fleet.published - fleet.acknowledged
    says = f"{fleet.acknowledged:,} of {fleet.published:,} messages"
    if fleet.dropped:
        says += f"; {fleet.dropped:,} readings had no room in a device"
    return Check("acknowledged by the broker", missing == 0, says)


def _archived(fleet: Fleet, archive: Archive) -> Iterator[Check]:
    """Each acknowledged reading is one row, known by device, boot and seq."""
    found = archive.telemetry()
    wanted = {d.device_id: d.counts.acknowledged["telemetry"] for d in fleet.devices}
    messages = {name: found[name].messages if name in found else 0 for name in wanted}
    lost = {name: n - messages[name] for name, n in wanted.items()}
    total = sum(wanted.values())
    says = f"{sum(messages.values()):,} of {total:,} readings{_named(lost)}"
    yield Check("archived", not any(lost.values()), says)
    rows = {name: found[name].rows for name in wanted if name in found}
    twice = {name: n - messages[name] for name, n in rows.items()}
    says = f"{sum(rows.values()):,} rows{_named(twice)}"
    yield Check("archived once", not any(twice.values()), says)


def _history(run: Run, archive: Archive) -> Iterator[Check]:
    replayed = sum(device.counts.replayed for device in run.fleet.devices)
    if replayed:
        rows = archive.buffered()
        says = f"{rows:,} rows are marked as buffered, of {replayed:,} readings"
        yield Check("archived as history", 0 < rows <= replayed, says)


def _fault_codes(run: Run, archive: Archive) -> Iterator[Check]:
    """A sensor that drops out is known by its fault code."""
    for event in run.scenario.event:
        if isinstance(event, FailSensor) and event.kind == "dropout":
            code = SensorFault(event.sensor, event.kind).code
            codes = archive.fault_codes()
            devices = chosen(event.devices, [d.device_id for d in run.fleet.devices])
            silent = {name: code not in codes.get(name, ()) for name in devices}
            says = f"{code} of {len(devices)} devices{_named(silent)}"
            yield Check("fault codes archived", not any(silent.values()), says)


def _times(run: Run, archive: Archive) -> Iterator[Check]:
    """A clock that is fast makes no rows of the future: the bridge corrects them."""
    ahead = [
        event.by_s
        for event in run.scenario.event
        if isinstance(event, WrongClock) and event.by_s > _AHEAD_S
    ]
    if ahead:
        rows = archive.ahead(_AHEAD_S)
        says = f"{rows:,} rows are of more than {_AHEAD_S:g} s after their receipt"
        yield Check("times corrected", rows == 0, says)


def _rejected(run: Run) -> Iterator[Check]:
    wrong = run.rogue.published
    if run.rejected is None:
        yield Check("rejected by the bridge", False, "it does not say how many")
        return
    says = f"{run.rejected:,} of {wrong:,} messages that break the contract"
    is_right = run.rejected == wrong == run.rogue.acknowledged
    yield Check("rejected by the bridge", is_right, says)


def _answered(run: Run) -> Iterator[Check]:
    sent = run.script.commands
    if sent:
        answered = [command for command in sent if command in run.operator.answers]
        says = f"{len(answered):,} of {len(sent):,} commands"
        yield Check("commands answered", len(answered) == len(sent), says)


def _last_wills(run: Run) -> Iterator[Check]:
    cut = run.script.cut
    if cut:
        seen = {name: run.operator.wills[name] for name in cut}
        missing = {name: max(0, cut[name] - seen[name]) for name in cut}
        says = f"{sum(seen.values()):,} for {sum(cut.values()):,} broken connections"
        is_right = not any(missing.values())
        yield Check("last wills", is_right, f"{says}{_named(missing)}")


def _updates(run: Run) -> Iterator[Check]:
    """Each device that was chosen ends as its outcome says."""
    wanted = [e for e in run.scenario.event if _orders_all(e)]
    if not wanted:
        return
    ends = {d.device_id: _ENDS[_outcome(run, d)] for d in run.fleet.devices}
    seen = {name: run.operator.ota.get(name) for name in ends}
    wrong = {name: not (o := seen[name]) or o.state != ends[name] for name in ends}
    says = ", ".join(
        f"{sum(o is not None and o.state == state for o in seen.values())} {state}"
        for state in sorted(set(ends.values()))
    )
    yield Check("updates ended", not any(wrong.values()), f"{says}{_named(wrong)}")


def _orders_all(event: object) -> bool:
    """Whether a config orders an update of every device."""
    if not isinstance(event, SendConfig) or event.devices != "*":
        return False
    firmware = event.config.get("firmware") or {}
    return bool(firmware) and firmware.get("percent", _ALL) == _ALL


def _outcome(run: Run, device: Device) -> Outcome:
    return run.fleet.plan.behaviour(device.device_id).outcome


def _named(counts: dict[str, int] | dict[str, bool]) -> str:
    """The devices that are wrong, as the end of a sentence."""
    wrong = [name for name, count in counts.items() if count]
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return f"; not {', '.join(wrong[:_SHOWN])}{more}" if wrong else ""
