"""The command `egiz-sim scenarios`, and what `egiz-sim run --scenario` does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource
from egiz_cli import DONE, FAILED, command
from rich.console import Console

from egiz_sim.broker import Broker
from egiz_sim.demo.parts import PartError
from egiz_sim.fleet import UnreachableError
from egiz_sim.ledger import ledger, show
from egiz_sim.options import check_times
from egiz_sim.reports import reporting
from egiz_sim.scenario import reading, verdict
from egiz_sim.scenario.model import Scenario
from egiz_sim.scenario.reading import ScenarioError
from egiz_sim.scenario.run import needs_own_parts, plan_of, run_at, run_on_own_parts
from egiz_sim.sockets import allow_sockets

# Options of `run` that change a scenario -> the member of its fleet.
_OVERRIDES = {
    "devices": "devices",
    "rate": "rate_hz",
    "seed": "seed",
    "ramp": "ramp_s",
    "sensor_faults": "sensor_faults",
    "updates": "updates",
}
_NOT_WITH_IT = ("start", "shifts")


@command(exit_codes={DONE: "done"})
@click.argument("name", required=False)
def scenarios(name: str | None) -> None:
    """List the scenarios of `run --scenario`, or print one as a file.

    \b
      egiz-sim scenarios
      egiz-sim scenarios wifi-outage > mine.toml
      egiz-sim run --scenario mine.toml
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    try:
        if name:
            click.echo(reading.text_of(name), nl=False)
            return
        for each in reading.names():
            click.echo(f"{each:<18}{reading.read(each).about}")
    except ScenarioError as error:
        raise click.UsageError(str(error)) from None


def run_scenario(
    name: str,
    broker: Broker | None,
    facility: str,
    options: Mapping[str, Any],
    report: Path | None,
) -> None:
    """Run it, print ledger and verdict, and exit with 1 if the verdict is red.

    Args:
        name: of the gallery, or a file.
        broker: one that is there; None starts one, with a bridge and an archive.
        facility: of the topics.
        options: those of `run`; what was typed wins over the scenario.
        report: where to write ledger and verdict.
    """
    try:
        usual = reading.read(name)
        scenario = _adjusted(usual, options)
        reading.check_devices(name, scenario)
    except ScenarioError as error:
        raise click.UsageError(f"--scenario {error}") from None
    if broker is not None and (needed := needs_own_parts(scenario)):
        raise click.UsageError(
            f"--broker: {name} needs a broker and a database of its own"
            f" ({', '.join(needed)}); without --broker it starts them"
        )
    click.echo(f"{name}: {scenario.about}", err=True)
    allow_sockets(scenario.fleet.devices)
    plan = plan_of(scenario, facility, usual.fleet.seconds)
    check_times(plan)
    try:
        if broker is None:
            fleet, found = run_on_own_parts(scenario, plan, _say)
        else:
            fleet, found = run_at(scenario, plan, broker)
    except (PartError, UnreachableError, OverflowError) as error:
        raise click.ClickException(str(error)) from None
    totals = ledger(fleet)
    is_passed = all(check.is_passed for check in found)
    outcome = {"name": name, "passed": is_passed}
    checks = {"checks": [check._asdict() for check in found]}
    totals["scenario"] = outcome | checks
    content = (json.dumps(totals, indent=1) + "\n").encode()
    with reporting({report: content} if report else {}):
        show(totals, Console())
        verdict.show(found, Console())
    if not is_passed:
        raise click.exceptions.Exit(FAILED)


def _adjusted(scenario: Scenario, options: Mapping[str, Any]) -> Scenario:
    """With the options that were typed."""
    typed = [name for name in options if is_typed(name)]
    for name in _NOT_WITH_IT:
        if name in typed:
            raise click.UsageError(f"--{name} is not for --scenario")
    if "seconds" in typed:
        scenario = scenario.lasting(options["seconds"])
    changes = {_OVERRIDES[name]: options[name] for name in typed if name in _OVERRIDES}
    fleet = msgspec.structs.replace(scenario.fleet, **changes)
    return msgspec.structs.replace(scenario, fleet=fleet)


def is_typed(name: str) -> bool:
    """Whether an option of the command stands on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _say(text: str) -> None:
    click.echo(text, err=True)
