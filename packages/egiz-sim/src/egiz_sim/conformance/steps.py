"""What a check does: each step leaves evidence, and no step judges."""

import asyncio
import itertools
import math
from collections.abc import Callable
from statistics import mean, median
from time import monotonic
from typing import Any
from zlib import crc32

from egiz_schema import limits

from egiz_sim.conformance.command_steps import QUIET_S, CommandSteps, is_of
from egiz_sim.conformance.evidence import Evidence, Outage, Reading, Seen
from egiz_sim.conformance.orders import Configs
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.proxy import Proxy
from egiz_sim.conformance.watch import Watch

_REPLAY_PAUSE_S = 5.0  # a busy device may pause between two readings of an outage
RATE_TOLERANCE = 0.3  # by which two intervals may differ that are to be one

_FIRST_READINGS, _READINGS = 2, 5
_MEASUREMENTS = 3
SLOWER = 4  # the interval of the config that is to be refused as a whole
_NO_ROOM = (
    "the config that was found is so large that another member would make it more than"
    f" {limits.PAYLOAD_BYTES_MAX} bytes"
)


class Steps:
    """The steps, in their order.

    Args:
        plan: how it is done.
        evidence: what they fill.
        watch: the connection of the check.
        proxy: the one that the device is behind, or None.
        say: called with what happens now.
    """

    def __init__(
        self,
        plan: Plan,
        evidence: Evidence,
        watch: Watch,
        proxy: Proxy | None,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._evidence = evidence
        self._watch = watch
        self._proxy = proxy
        self._say = say
        self._interval_s = plan.interval_ms / 1000
        self._commands = CommandSteps(plan, evidence, watch, say)

    async def run(self) -> None:
        """All of them; raises CheckError."""
        if self._plan.is_passive:
            self._say(f"watching for {self._plan.watch:g} s")
            await asyncio.sleep(self._plan.watch)
            self._evidence.why_not[""] = "--watch-only: nothing is sent"
        else:
            await self._watch.until(self._has_begun, self._plan.wait)
            await self._send_configs()
            await self._commands.send()
            await self._cut()
            await self._commands.restart()
        self._evidence.asked = monotonic()
        self._evidence.kept = await self._watch.look_again()

    async def until_there(self) -> bool:
        """Whether the device shows itself in time."""
        return bool(await self._watch.until(self._is_there, self._plan.wait))

    def _is_there(self) -> bool:
        if self._proxy is not None:
            sessions = self._proxy.sessions
            is_unread = any(each.unreadable for each in sessions)
            is_begun = any(each.begun is not None for each in sessions)
            return is_begun or (is_unread and bool(self._evidence.live()))
        return bool(self._evidence.live())

    def _has_begun(self) -> bool:
        return len(self._evidence.readings()) >= _FIRST_READINGS

    # -- configs ------------------------------------------------------------------

    def _has_answered_found(self) -> bool:
        """Whether the device has reported the config that was found, in force or not.

        That answer, if it came after the first order, would seem to be the one to it.
        """
        last = self._watch.last_status()
        if last is None or last.config is None:
            return False
        of = {last.config.crc, last.config.refused and last.config.refused.crc}
        return not last.config.applied or crc32(self._watch.config) in of

    async def _send_configs(self) -> None:
        if self._watch.config:
            await self._watch.until(self._has_answered_found, self._plan.answer)
        interval_ms = self._plan.interval_ms
        before = _interval_s(self._evidence.readings())
        if before and abs(before / self._interval_s - 1) < RATE_TOLERANCE:
            interval_ms *= 2  # else nothing would show that it obeys
        self._interval_s = interval_ms / 1000
        topic = self._evidence.topic("config")
        found, status = self._watch.config, self._watch.last_status()
        configs = Configs(topic, found, status, self._most_waiting())
        if not configs.has_room:
            self._evidence.why_not["config"] = _NO_ROOM
            return
        rate = {"publish_rate_ms": interval_ms}

        self._say("config: one that is right")
        if not await self._config("config", configs.next(**rate)):
            self._evidence.why_not["config"] = "it did not answer the first config"
            return
        await self._measure("config", self._interval_s)
        self._say("config: a rate that is right, and a buffer that is not")
        slower = {"publish_rate_ms": SLOWER * interval_ms, "buffer_size": 1_000_000}
        await self._config("refused", configs.next(**slower))
        if "config" in self._evidence.rates:
            await self._measure("refused", self._evidence.rates["config"][1])
        self._say("config: no JSON, another device, the same revision, a new member")
        await self._config("malformed", {}, b'{"rev":1,"device_id":')
        await self._config("other", configs.next(device_id="another-device-0", **rate))
        await self._config("first", configs.next(**rate))
        again = {**rate, "report_rate_ms": 61_000}
        await self._config("same_rev", configs.same(**again))
        await self._config("unknown", configs.next(**rate, of_a_newer_contract=True))

    def _most_waiting(self) -> int:
        """How many readings may wait in the outage."""
        if self._proxy is None:
            return 0
        return math.ceil((self._plan.outage + self._plan.wait) / self._interval_s)

    async def _config(
        self, label: str, document: dict[str, Any], payload: bytes = b""
    ) -> bool:
        last = self._watch.last_status()
        before = last.config if last else None
        order = await self._watch.send_config(document, payload)
        self._evidence.orders[f"config.{label}"] = order
        await self._watch.answered(
            order,
            lambda s: s.config is not None and s.config != before,
            self._plan.answer,
        )
        return order.answer is not None

    async def _measure(self, label: str, expected_s: float) -> None:
        """The interval between readings from now on.

        What is busy is late for a while: so another one than is expected is measured
        again, and the nearest counts.
        """
        for _ in range(_MEASUREMENTS):
            found = await self._interval()
            if found is None:
                return
            best = self._evidence.rates.get(label, (0.0, float("inf")))[1]
            nearest = min(found, best, key=lambda s: abs(s - expected_s))
            self._evidence.rates[label] = (self._interval_s, nearest)
            if abs(nearest / expected_s - 1) <= RATE_TOLERANCE:
                return

    async def _interval(self) -> float | None:
        """Seconds between readings from now on; None if too few come."""
        start = monotonic()
        wanted = _READINGS + 1

        def recent() -> list[Reading]:
            live = [r for r in self._evidence.readings() if not r.message.buffered]
            return [r for r in live if r.seen.at > start][1:]  # a period may have begun

        await self._watch.until(
            lambda: len(recent()) >= wanted,
            2 * SLOWER * wanted * self._interval_s,
        )
        return _interval_s(recent())

    # -- outage -------------------------------------------------------------------

    async def _cut(self) -> None:
        self._evidence.why_not["outage"] = (
            "the connection cannot be cut without a proxy"
        )
        self._evidence.why_not["command.retained"] = (
            "the connection cannot be cut without a proxy"
        )
        if self._proxy is None:
            return
        self._say(f"outage of {self._plan.outage:g} s")
        cut, before = monotonic(), len(self._proxy.sessions)
        self._proxy.refuse()
        retained = await self._commands.retain()
        await asyncio.sleep(self._plan.outage)
        await self._proxy.accept()
        back = await self._watch.until(lambda: self._back(before), self._plan.wait)
        if back is None:
            reason = self._proxy.why_not(before)
            self._evidence.why_not["outage"] = (
                f"it connected again, but {reason}"
                if reason
                else "it did not connect again in time"
            )
            return
        self._evidence.outage = Outage(cut, *back)
        if retained is not None:
            await self._watch.answered(
                retained, is_of(retained.document["id"]), self._plan.answer
            )
        await self._until_replayed()

    def _back(self, count: int) -> tuple[float, float] | None:
        """When a session after so many began, monotonic and since 1970.

        With no CONNACK that can be read, as in TLS, it is when its first message came.
        """
        assert self._proxy is not None
        for session in self._proxy.sessions[count:]:
            if session.begun is not None:
                return session.begun, session.begun_epoch
            if session.unreadable and (first := self._first_since(session.opened)):
                return first.at, first.epoch
        return None

    def _first_since(self, at: float) -> Seen | None:
        """The first message of the device itself."""
        readings = [each.seen for each in self._evidence.readings()]
        statuses = [each for each, _ in self._evidence.statuses() if not each.is_kept]
        found = [each for each in [*readings, *statuses] if each.at >= at]
        return min(found, key=lambda each: each.at, default=None)

    async def _until_replayed(self) -> None:
        """Until live readings follow, and no buffered one has come for a while.

        The while is a longer one as long as readings are missing, or may be.
        """
        self._say("what was measured in the outage")

        def is_over() -> bool:
            after = self._evidence.after_outage()
            buffered = [each for each in after if each.message.buffered]
            if len(after) - len(buffered) < _FIRST_READINGS:
                return False
            pause_s = QUIET_S if self._evidence.is_whole() else _REPLAY_PAUSE_S
            newest = max(each.seen.at for each in [after[0], *buffered])
            return newest < monotonic() - pause_s

        await self._watch.until(is_over, self._plan.wait)


def _interval_s(readings: list[Reading]) -> float | None:
    """Between two readings, by the clock of the device if it has a time for each."""
    if len(readings) < _FIRST_READINGS:
        return None
    times = [each.time_s for each in readings]
    if len(set(times)) == len(times):
        return median(b - a for a, b in itertools.pairwise(times))
    arrivals = [each.seen.at for each in readings]
    return mean(b - a for a, b in itertools.pairwise(arrivals))
