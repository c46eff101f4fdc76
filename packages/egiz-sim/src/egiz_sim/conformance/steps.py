"""What a check does: each step leaves evidence, and no step judges."""

import asyncio
import itertools
import math
from collections.abc import Callable
from statistics import mean, median
from time import monotonic, time
from typing import Any
from zlib import crc32

from egiz_schema import Status, limits

from egiz_sim.conformance.evidence import Evidence, Order, Outage, Reading, Seen
from egiz_sim.conformance.orders import BURST, DAY_S, HARMLESS, Commands, Configs
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.proxy import Proxy
from egiz_sim.conformance.watch import Watch

QUIET_S = 1.0  # within which a second answer is a repeat, and no periodic status
_REPLAY_PAUSE_S = 5.0  # a busy device may pause between two readings of an outage
RATE_TOLERANCE = 0.3  # by which two intervals may differ that are to be one

_FIRST_READINGS, _READINGS = 2, 5
_MEASUREMENTS = 3
SLOWER = 4  # the interval of the config that is to be refused as a whole
_NO_ROOM = (
    "the config that was found is so large that another member would make it more than"
    f" {limits.PAYLOAD_BYTES_MAX} bytes"
)
_REFUSES_ALL = (
    f"it refuses {' and '.join(HARMLESS)}; name what it obeys in `can` of its status"
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

    async def run(self) -> None:
        """All of them; raises CheckError."""
        if self._plan.is_passive:
            self._say(f"watching for {self._plan.watch:g} s")
            await asyncio.sleep(self._plan.watch)
            self._evidence.why_not[""] = "--watch-only: nothing is sent"
        else:
            await self._watch.until(self._has_begun, self._plan.wait)
            await self._send_configs()
            await self._send_commands()
            await self._cut()
            await self._restart()
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
        last = self._last_status()
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
        found, status = self._watch.config, self._last_status()
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
        last = self._last_status()
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

    # -- commands -----------------------------------------------------------------

    async def _send_commands(self) -> None:
        last = self._last_status()
        can = last.can if last else []
        self._commands = commands = Commands(self._plan.device_id, can)
        first = await self._first_command(is_declared=bool(can))
        if first is None:
            return
        await asyncio.sleep(QUIET_S)
        await self._command("again", commands.next())
        await asyncio.sleep(QUIET_S)
        self._say("command: repeated, expired, and others that are to be refused")
        await self._command("repeated", first)
        past = int(time()) - DAY_S
        await self._command("expired", commands.next(expires_at=past))
        await self._command("unknown", commands.next("no_such_action"))
        await self._command("other", commands.next(device_id="another-device-0"))
        await self._command("arguments", commands.next(args={"no_such_argument": 1}))
        await self._command("ota", commands.next("ota", args={}))
        await self._command("malformed", {}, b'{"device_id":')
        await self._burst(commands)

    async def _first_command(self, *, is_declared: bool) -> dict[str, Any] | None:
        """One that it obeys; of a device that declares none, the refusal is right."""
        commands, why_not = self._commands, self._evidence.why_not
        for action in commands.harmless:
            self._say(f"command: {action}")
            commands.action = action
            first = commands.next()
            if not await self._command("done", first):
                why_not["command"] = "it did not answer the first command"
                return None
            result = self._evidence.orders["command.done"].status.last_command
            if is_declared or result is None or result.result != "refused":
                return first
        self._evidence.orders.pop("command.done", None)
        why_not["command"] = _REFUSES_ALL
        if is_declared:
            why_not["command"] = "it can do nothing that is harmless"
        return None

    async def _command(
        self,
        label: str,
        document: dict[str, Any],
        payload: bytes = b"",
        *,
        retain: bool = False,
    ) -> bool:
        last = self._last_status()
        before = last.last_command if last else None
        order = await self._watch.send_command(document, payload, retain=retain)
        self._evidence.orders[f"command.{label}"] = order

        def is_answer(status: Status) -> bool:
            result = status.last_command
            if result is None or result == before:
                return False
            return not document or result.id == document["id"]

        await self._watch.answered(order, is_answer, self._plan.answer)
        return order.answer is not None

    async def _burst(self, commands: Commands) -> None:
        self._say(f"command: {BURST} at once")
        documents = [commands.next() for _ in range(BURST)]
        sent = await asyncio.gather(*map(self._watch.send_command, documents))
        for number, order in enumerate(sent):
            self._evidence.orders[f"command.burst.{number}"] = order
        waiting = list(sent)

        def some_answered() -> bool:
            return any(map(self._is_answered, waiting))

        # Until all are answered, or none is for a while.
        is_going_on: bool | None = True
        while waiting and is_going_on:
            is_going_on = await self._watch.until(some_answered, self._plan.answer)
            waiting = [order for order in waiting if not self._is_answered(order)]

    def _is_answered(self, order: Order) -> bool:
        return self._watch.is_answered(order, _is_of(order.document["id"]))

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
        retained = await self._retain_command()
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
                retained, _is_of(retained.document["id"]), self._plan.answer
            )
        await self._until_replayed()

    async def _retain_command(self) -> Any:
        if "command" in self._evidence.why_not:
            reason = self._evidence.why_not["command"]
            self._evidence.why_not["command.retained"] = reason
            return None
        order = await self._watch.send_command(self._commands.next(), retain=True)
        self._evidence.orders["command.retained"] = order
        return order

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

    # -- restart ------------------------------------------------------------------

    async def _restart(self) -> None:
        last = self._last_status()
        self._evidence.why_not["restart"] = "it needs --allow-reboot"
        if not self._plan.may_reboot:
            return
        if reason := self._evidence.why_not.get("command"):
            self._evidence.why_not["restart"] = reason
            return
        if last and last.can and "reboot" not in last.can:
            self._evidence.why_not["restart"] = "it cannot reboot by command"
            return
        self._say("command: reboot")
        await self._command("reboot", self._commands.next("reboot"))
        await self._watch.until(self._has_restarted, self._plan.wait)

    def _has_restarted(self) -> bool:
        """Whether a birth of another boot has come, or one after an offline."""
        order = self._evidence.orders["command.reboot"]
        states = [
            (each.message.state, each.message.boot)
            for each in self._evidence.live()
            if each.at > order.at and isinstance(each.message, Status)
        ]
        offline = next((i for i, (s, _) in enumerate(states) if s == "offline"), None)
        is_back = offline is not None and len(states) > offline + 1
        return is_back or len({boot for _, boot in states}) > 1

    def _last_status(self) -> Status | None:
        statuses = self._evidence.statuses()
        return statuses[-1][1] if statuses else None


def _is_of(command_id: str) -> Callable[[Status], bool]:
    return lambda s: s.last_command is not None and s.last_command.id == command_id


def _interval_s(readings: list[Reading]) -> float | None:
    """Between two readings, by the clock of the device if it has a time for each."""
    if len(readings) < _FIRST_READINGS:
        return None
    times = [each.time_s for each in readings]
    if len(set(times)) == len(times):
        return median(b - a for a, b in itertools.pairwise(times))
    arrivals = [each.seen.at for each in readings]
    return mean(b - a for a, b in itertools.pairwise(arrivals))
