"""Options of the command line that are a small language of their own."""

import time
from collections.abc import Callable
from typing import TypeVar

import click
from egiz_schema import limits

from egiz_sim.fleet import Plan
from egiz_sim.updates import OUTCOMES, Outcome

_T = TypeVar("_T")


def option(name: str, parse: Callable[[str], _T], text: str | None) -> _T | None:
    """What an option says; None if it is left out.

    Raises:
        click.UsageError: with the option and the sentence of `parse`.
    """
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise click.UsageError(f"{name} {text!r}: {error}") from None


def shares(text: str) -> dict[Outcome, float]:
    """Read ``crash_loop:0.1,slow:0.2``; an outcome without a share is of all devices.

    Raises:
        ValueError: with one sentence.
    """
    found: dict[Outcome, float] = {}
    for part in text.split(","):
        name, colon, share = part.strip().partition(":")
        outcome = next((each for each in OUTCOMES if each == name), None)
        if outcome is None:
            raise ValueError(f"an outcome is one of {', '.join(OUTCOMES)}")
        found[outcome] = _share(share) if colon else 1.0
    if sum(found.values()) > 1:
        raise ValueError("the shares are more than 1 together")
    return found


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("a share is a number from 0 to 1, as in crash_loop:0.1")
    return share


def check_times(plan: Plan) -> None:
    """A reading has a time that the contract allows, whatever this machine's clock.

    Raises:
        click.ClickException: the clock of this machine is wrong.
        click.UsageError: --start is.
    """
    first, last = limits.TIMESTAMP_S
    bounds = "readings are of the years 2020 to 2099"
    begin_s = time.time() if plan.start_ms is None else plan.start_ms / 1000
    if first <= begin_s <= last - (plan.seconds or 0.0):
        return
    if plan.start_ms is None:
        raise click.ClickException(f"{bounds}: set the clock of this machine")
    raise click.UsageError(f"--start: {bounds}, also the last one")
