"""The steps of commands: one that is harmless, and those that are to be refused."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from egiz_schema import Status

from egiz_sim.conformance.evidence import Evidence, Order
from egiz_sim.conformance.orders import BURST, DAY_S, HARMLESS, Commands
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.watch import Watch

QUIET_S = 1.0  # within which a second answer is a repeat, and no periodic status

_REFUSES_ALL = (
    f"it refuses {' and '.join(HARMLESS)}; name what it obeys in `can` of its status"
)


class CommandSteps:
    """They leave evidence, as `Steps` do, which says what the arguments are."""

    def __init__(
        self, plan: Plan, evidence: Evidence, watch: Watch, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._evidence = evidence
        self._watch = watch
        self._say = say

    async def send(self) -> None:
        """All but those of outage and restart; raises CheckError."""
        last = self._watch.last_status()
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
        last = self._watch.last_status()
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
        return self._watch.is_answered(order, is_of(order.document["id"]))

    async def restart(self) -> None:
        """Have it restart, if it may; raises CheckError."""
        last = self._watch.last_status()
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

    async def retain(self) -> Order | None:
        """One that the broker keeps; None if it is left out. Raises CheckError."""
        if "command" in self._evidence.why_not:
            reason = self._evidence.why_not["command"]
            self._evidence.why_not["command.retained"] = reason
            return None
        order = await self._watch.send_command(self._commands.next(), retain=True)
        self._evidence.orders["command.retained"] = order
        return order


def is_of(command_id: str) -> Callable[[Status], bool]:
    """Whether a status answers the command of that id."""
    return lambda s: s.last_command is not None and s.last_command.id == command_id
