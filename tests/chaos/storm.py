"""Fault after fault, some of them together; and what an operator would see of each."""

import json
import logging
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from rig.waiting import eventually

from chaos.auditor import Metrics
from chaos.faults import BROKER, DATABASE, DISK, FILES, SHOWN_ON, Fault
from chaos.stage import Stage

_WELL_WITHIN_S = 90
_log = logging.getLogger(__name__)


class View(NamedTuple):
    """What an operator sees at one instant."""

    problems: list[str]
    metrics: Metrics

    def shows(self, fault: Fault, before: Metrics) -> bool:
        """Whether a fault is seen, other than from one before it."""
        is_counted = not fault.counted or (
            self.metrics[fault.counted] > before[fault.counted]
        )
        if not fault.problem:
            return is_counted
        is_named = any(re.search(fault.problem, one) for one in self.problems)
        return is_counted and is_named

    @property
    def is_ready(self) -> bool:
        """Whether nothing is wrong, but for what is shown for a while."""
        return all(re.search(SHOWN_ON, one) for one in self.problems)

    @property
    def is_well(self) -> bool:
        """Whether nothing waits for a database, either."""
        waiting = [v for k, v in self.metrics.items() if k.startswith("sink_spooled/")]
        return self.is_ready and not any(waiting)


class Storm:
    """Strikes; keeps what was not seen, or not over, in time.

    Attributes:
        counts: how often there was each fault.
        delays_s: until it was seen, the longest of each fault.
        over_s: until it was not seen any more, the longest of each fault.
        misses: faults that were not seen, or not over, and what was seen instead.

    Args:
        stage: where.
        faults: which.
        pairs: how likely two come together, if they may.
    """

    def __init__(
        self, stage: Stage, faults: Sequence[Fault], pairs: float = 0.5
    ) -> None:
        self._stage, self._rng = stage, stage.rng
        self._faults, self._pairs = faults, pairs
        self.counts: Counter[str] = Counter()
        self.delays_s: dict[str, float] = {}
        self.over_s: dict[str, float] = {}
        self.misses: list[str] = []

    def once(self, until_s: float = float("inf")) -> None:
        """Each of the faults once, in an order of the seed."""
        deck = list(self._faults)
        self._rng.shuffle(deck)
        while deck and time.monotonic() < until_s:
            together = [deck.pop()]
            others = [one for one in deck if _may_meet(one, together[0])]
            if others and self._rng.random() < self._pairs:
                together.append(self._rng.choice(others))
                deck.remove(together[1])
            self._strike(together)

    def _strike(self, faults: Sequence[Fault]) -> None:
        name = " + ".join(fault.name for fault in faults)
        _log.info("%s", name)
        with ExitStack() as held:
            for fault in faults:
                before = eventually(self._view).metrics
                held.enter_context(fault.held(self._stage))
                self.counts[fault.name] += 1
                self._must_be_seen(fault, before)
            if [fault.problem for fault in faults] == [""]:
                self._must_be_ready(name)
            self._strike_at_once(faults)
            self._stage.moment()
        self._must_be_over(name)

    def _strike_at_once(self, faults: Sequence[Fault]) -> None:
        """Now and then, what is over as soon as it has begun."""
        choice = [self._nothing, self._nothing, self._reload]
        if all(fault.part != BROKER for fault in faults):
            choice.append(self._network_is_cut)
        if not any(fault.needs_run or fault.is_alone for fault in faults):
            choice += [self._bridge_is_killed, self._bridge_is_stopped]
        strike = self._rng.choice(choice)
        strike()
        self.counts[strike.__name__.strip("_").replace("_", " ")] += 1
        for fault in faults:
            if fault.problem and not fault.is_shown_on:
                self._must_be_seen(fault, {})

    def _nothing(self) -> None:
        pass

    def _reload(self) -> None:
        eventually(lambda: self._stage.bridge.get("/healthz"))
        assert self._stage.bridge.process is not None
        self._stage.bridge.process.signal(signal.SIGHUP)

    def _network_is_cut(self) -> None:
        self._stage.to_broker.reset()

    def _bridge_is_killed(self) -> None:
        self._stage.bridge.kill()
        self._stage.start(wait=False)

    def _bridge_is_stopped(self) -> None:
        self._stage.begin_again(wait=False)

    def _must_be_seen(self, fault: Fault, before: Metrics) -> None:
        begun_s = time.monotonic()
        view = None
        while (took_s := time.monotonic() - begun_s) < fault.within_s:
            view = self._try_view() or view
            if view and view.shows(fault, before):
                self.delays_s[fault.name] = max(
                    took_s, self.delays_s.get(fault.name, 0)
                )
                return
            time.sleep(0.1)
        self._miss(f"{fault.name}: not seen", view)

    def _must_be_ready(self, name: str) -> None:
        time.sleep(2.5)  # the files are looked at every two seconds
        view = eventually(self._view)
        if not view.is_ready:
            self._miss(f"{name}: not ready", view)

    def _must_be_over(self, name: str) -> None:
        begun_s = time.monotonic()
        view = None
        while (took_s := time.monotonic() - begun_s) < _WELL_WITHIN_S:
            view = self._try_view() or view
            if view and view.is_well:
                self.over_s[name] = max(took_s, self.over_s.get(name, 0))
                return
            time.sleep(0.1)
        self._miss(f"{name}: not over", view)

    def _miss(self, text: str, view: View | None) -> None:
        _log.info("%s: %s", text, view)
        self.misses.append(f"{text}: {view and view.problems}")

    def _try_view(self) -> View | None:
        try:
            return self._view()
        except OSError:  # it does not serve now
            return None

    def _view(self) -> View:
        bridge = self._stage.bridge
        status, body = bridge.get("/readyz")
        problems = json.loads(body)["problems"] if status != 200 else []
        return View(problems, bridge.metrics())


def _may_meet(one: Fault, other: Fault) -> bool:
    parts = {one.part, other.part}
    # Without messages, nothing is written, neither to a database nor to a disk.
    is_hidden = parts in ({BROKER, DATABASE}, {BROKER, DISK})
    is_same = len(parts) == 1 or parts <= {*FILES}
    return not (one.is_alone or other.is_alone or is_same or is_hidden)
