"""A check from its beginning to its end, which leaves the broker as it was."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from zlib import crc32

from egiz_schema import Status

from egiz_sim.broker import Broker
from egiz_sim.conformance.errors import CheckError, PortError
from egiz_sim.conformance.evidence import Evidence
from egiz_sim.conformance.orders import Configs
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.proxy import Proxy
from egiz_sim.conformance.rules import RULES, Verdict, judged
from egiz_sim.conformance.steps import Steps
from egiz_sim.conformance.watch import Watch

_NOT_IN_FORCE = (
    "the config that was found is retained again, but the device does not say that it"
    " is in force: publish it with a newer rev"
)

_REFUSED = (
    "the config that was found is retained again, but the contract refuses it ({}); the"
    " device is as it was provisioned, until a right one is published"
)

Say = Callable[[str], None]


@dataclass
class Result:
    """What a check found.

    Attributes:
        plan: how it was done.
        seconds: how long it lasted.
        evidence: what was seen.
        notes: what a person should know beside the verdicts.
    """

    plan: Plan
    seconds: float
    evidence: Evidence
    notes: list[str] = field(default_factory=list)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Of each rule, in their order.

        They are judged when they are asked for: another check of the same process would
        see its messages late meanwhile.
        """
        return [judged(rule, self.evidence) for rule in RULES]

    def count(self, verdict: str) -> int:
        """How many rules have this verdict."""
        return sum(each.verdict == verdict for each in self.verdicts)

    @property
    def is_passed(self) -> bool:
        """Whether no rule failed."""
        return self.count("fail") == 0


async def check(broker: Broker, plan: Plan, say: Say) -> Result:
    """Hold a device to the contract.

    Args:
        broker: where services connect.
        plan: how it is done.
        say: called with what happens now.

    Raises:
        CheckError: it could not be done.
    """
    begun = monotonic()
    evidence = Evidence(plan.facility, plan.device_id)
    notes: list[str] = []
    watch = Watch(broker, evidence)
    try:
        await watch.begin()
        async with _proxy(broker, plan, evidence, watch) as proxy:
            steps = Steps(plan, evidence, watch, proxy, say)
            say(_waiting_for(plan))
            if not await steps.until_there():
                raise CheckError(_absent(plan, proxy))
            try:
                await steps.run()
            except BaseException:
                # Without a result, nothing else says what a person should know.
                for note in await _end(watch, plan, evidence, proxy, say):
                    say(note)
                raise
            notes += await _end(watch, plan, evidence, proxy, say)
    finally:
        await watch.end()
    notes += _found(watch)
    return Result(plan, monotonic() - begun, evidence, notes)


@contextlib.asynccontextmanager
async def _proxy(
    broker: Broker, plan: Plan, evidence: Evidence, watch: Watch
) -> AsyncIterator[Proxy | None]:
    if plan.proxy_port is None:
        yield None
        return
    proxy = Proxy(broker.host, broker.port, plan.proxy_port, watch.wake)
    evidence.sessions = proxy.sessions
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.close()


async def _end(
    watch: Watch, plan: Plan, evidence: Evidence, proxy: Proxy | None, say: Say
) -> list[str]:
    if proxy is not None:
        with contextlib.suppress(PortError):  # the broker can be put right without it
            await proxy.accept()
    return await _put_back(watch, plan, evidence, say)


async def _put_back(
    watch: Watch, plan: Plan, evidence: Evidence, say: Say
) -> list[str]:
    """Leave the broker as it was found, and the device with the config it had."""
    if not watch.is_config_ours and not watch.is_command_ours:
        return []
    say("putting back the config that was found")
    try:
        await watch.revive()
        if watch.is_command_ours:
            await watch.clear_command()
        if watch.is_config_ours:
            return await _put_config_back(watch, plan, evidence.topic("config"))
    except asyncio.CancelledError:  # a second Ctrl-C: it has to be without the waiting
        await _put_back_at_once(watch, evidence, say)
        raise
    except CheckError as error:
        return [_not_put_back(watch, evidence, error)]
    return []


async def _put_back_at_once(watch: Watch, evidence: Evidence, say: Say) -> None:
    """What the broker retains, at least; whether the device obeys is not known."""
    try:
        await watch.revive()
        if watch.is_command_ours:
            await watch.clear_command()
        if watch.is_config_ours:
            await watch.put_config_back()
            say(f"interrupted again: {_NOT_IN_FORCE}")
    except (CheckError, asyncio.CancelledError) as error:
        say(_not_put_back(watch, evidence, error))


def _not_put_back(watch: Watch, evidence: Evidence, error: BaseException) -> str:
    topic = evidence.topic("config")
    was = watch.config.decode(errors="replace") or "an empty payload"
    reason = str(error) or "interrupted"
    return f"NOT put back ({reason}): publish to {topic}, retained: {was}"


async def _put_config_back(watch: Watch, plan: Plan, topic: str) -> list[str]:
    """By way of the last of all revisions: after it, an older one is a newer one."""
    configs = Configs(topic, watch.config, None)
    order = await watch.send_config(configs.last())
    await watch.answered(order, _is_in_force(order.payload), plan.answer)
    order.at = monotonic()
    await watch.put_config_back()
    if not watch.config:
        return [
            "no config was retained, and none is now; the device keeps the last one"
        ]
    if configs.refusal:
        return [_REFUSED.format(configs.refusal)]
    order.answer = None
    await watch.answered(order, _is_in_force(watch.config), plan.answer)
    if order.answer is None:
        return [_NOT_IN_FORCE]
    return []


def _is_in_force(payload: bytes) -> Callable[[Status], bool]:
    crc = crc32(payload)
    return lambda s: s.config is not None and s.config.crc == crc and s.config.applied


def _waiting_for(plan: Plan) -> str:
    if plan.proxy_port is None:
        return f"waiting for {plan.device_id}"
    return f"waiting for {plan.device_id} to connect to port {plan.proxy_port} here"


def _absent(plan: Plan, proxy: Proxy | None) -> str:
    if proxy is None:
        return (
            f"nothing came from {plan.device_id} within {plan.wait:g} s;"
            " is it on, and are --facility and --device-id right?"
        )
    if reason := proxy.why_not():
        return f"a connection came to port {plan.proxy_port}, but {reason}"
    return (
        f"no device connected to port {plan.proxy_port} within {plan.wait:g} s; set"
        " the broker of the device to this machine and that port"
    )


def _found(watch: Watch) -> list[str]:
    if not watch.command:
        return []
    return ["a retained command is at the broker: remove it, it comes at each connect"]
