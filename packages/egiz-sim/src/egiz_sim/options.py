"""Options of the command line that are a small language of their own."""

from collections.abc import Callable
from typing import TypeVar

import click

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
