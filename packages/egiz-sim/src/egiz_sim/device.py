"""A light device: a machine, a connection of its own, and counts of its messages."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any

from egiz_schema import Telemetry, Topic, encode

from egiz_sim import __version__
from egiz_sim.behaviour import Behaviour, Counts
from egiz_sim.broker import Broker
from egiz_sim.commands import After, CommandError, Commands
from egiz_sim.desired import BUFFER_MESSAGES, Desired, Settings
from egiz_sim.machine import Machine
from egiz_sim.messages import Messages, Outcomes
from egiz_sim.mqtt import Inbox, Outstanding, Publisher
from egiz_sim.outbox import Outbox
from egiz_sim.shifts import Calendar
from egiz_sim.updates import Updater
from egiz_sim.waiting import Tasks, until

FIRMWARE = f"sim-{__version__}"

_LIVE, _HISTORY = 0, 1  # numbers of messages: whether the outbox has sent them
_HISTORY_AT_ONCE = 10  # so that what was measured in an outage floods no broker
_LAST_PUBACK_S = 2.0  # of what is said before the connection ends


class Device:
    """Publishes what its machine's sensors read, and obeys config and commands.

    Args:
        broker: where it connects.
        facility: of its topics, as `egiz_schema.topics.is_facility` allows.
        device_id: of its topics and payloads; also its client id.
        machine: what it measures.
        behaviour: the rest of it.
        on_latency: called with the seconds from each publish to its PUBACK.

    Attributes:
        machine: what it measures.
        digest: of its readings, each as it was measured.
        now_ms: gives the time of its readings, since 1970.
        on_rate: called when a config has changed `settings.publish_ms`.
        settings: what is in force.
    """

    def __init__(  # each is another part of it
        self,
        broker: Broker,
        facility: str,
        device_id: str,
        machine: Machine,
        behaviour: Behaviour,
        on_latency: Callable[[float], None],
    ) -> None:
        self.device_id = device_id
        self.counts = Counts()
        self.digest = hashlib.sha256()
        self.now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
        self.on_rate: Callable[[], None] = lambda: None
        self.settings = Settings(behaviour.publish_ms)
        self.machine = machine
        self._made_setpoint_c = machine.setpoint_c
        self._on_latency = on_latency
        self._topics = {
            kind: str(Topic(facility, device_id, kind))
            for kind in ("telemetry", "status", "config", "command")
        }
        self._timing = behaviour.timing
        self._measured_ms = 0
        self._status_s = 0.0  # monotonic
        self._codes: list[str] = []  # as of the last status
        self._is_away = False
        self._has_network = True
        self._outbox = Outbox(BUFFER_MESSAGES)
        self._history = 0  # sent from the outbox, without a PUBACK
        self._tasks = Tasks()
        self._desired = Desired(
            device_id, machine, self.settings, str(broker), self._apply
        )
        self._commands = Commands(device_id, self._actions())
        self._messages = Messages(device_id, machine, list(self._actions()))
        self._updater = Updater(
            self, FIRMWARE, behaviour.outcome, self._timing, asyncio.sleep, time.time
        )
        self.publisher = Publisher(
            broker, device_id, self._will(), self._connected, self._acknowledged
        )
        inbox = (self._topics["config"], self._topics["command"])
        self.publisher.inbox = Inbox(inbox, self._receive)
        self.publisher.on_lost = self._lost

    @property
    def last(self) -> Telemetry | None:
        """Its last reading."""
        return self._messages.last

    @property
    def dropped(self) -> int:
        """Readings for which there was no room in an outage, or that were erased."""
        return self._outbox.dropped + self.counts.forgotten

    @property
    def waiting(self) -> int:
        """Readings that wait for a connection."""
        return len(self._outbox)

    def begin(self, time_ms: int, shifts: Calendar) -> None:
        """Say, before the first reading, when that is, and when the plant works."""
        self.machine.begin(time_ms / 1000, shifts)

    def measure(self, time_ms: int) -> None:
        """Publish a reading, as of `time_ms` since 1970, or keep it in an outage.

        If the reading before has this time, or a later one, it is a millisecond later.
        While the device starts, it measures nothing, and the machine goes on.

        Raises:
            OverflowError: if 65,535 messages of this device wait for their PUBACK.
        """
        if self._is_away:
            return
        since_ms = self._measured_ms or time_ms - self.settings.publish_ms
        reading = self.machine.step(max(1.0, time_ms - since_ms) / 1000)
        self._measured_ms = max(time_ms, self._measured_ms)
        payload = encode(self._messages.telemetry(reading, self.settings, time_ms))
        self.digest.update(payload)
        self.counts.published["telemetry"] += 1
        if self.publisher.is_connected:
            self.publisher.publish(self._topics["telemetry"], payload, _LIVE)
            self._report_if_due()
        else:
            self._outbox.put(payload)

    def report(self, state: str = "online") -> None:
        """Publish a status, if there is a connection; each one begins with one."""
        if not self.publisher.is_connected:
            return
        self._status_s = time.monotonic()
        self._codes = self._messages.codes
        outcomes = Outcomes(
            self._updater.version,
            self._desired.report(),
            self._commands.last,
            self._updater.ota,
        )
        status = self._messages.status(
            state, outcomes, len(self._outbox), self._outbox.dropped
        )
        self.counts.published["status"] += 1
        self.publisher.publish(self._topics["status"], encode(status))

    async def leave(self, *, is_orderly: bool) -> None:
        """End the connection, and measure nothing until `start`."""
        self._is_away = True
        if is_orderly:
            limit = time.monotonic() + _LAST_PUBACK_S
            await until(lambda: not self.publisher.unacknowledged, limit)
        await self.publisher.disconnect(is_orderly=is_orderly)

    def start(self, cause: str) -> None:
        """Start again, and connect."""
        self._messages.restart(cause)
        self._is_away = False
        self.publisher.will = self._will()
        if self._has_network:
            self.publisher.reconnect()

    async def disconnect(self, *, is_orderly: bool) -> None:
        """Be without a network until `reconnect`; it measures meanwhile."""
        self._has_network = False
        await self.publisher.disconnect(is_orderly=is_orderly)

    def reconnect(self) -> None:
        """Have a network again."""
        self._has_network = True
        if not self._is_away:
            self.publisher.reconnect()

    def set_clock(self, wrong_by_ms: int) -> None:
        """Let its clock be wrong from now on; 0 is right."""
        self._messages.set_clock(wrong_by_ms)

    async def close(self) -> None:
        """Disconnect in good order, and give up what has not ended."""
        await self._tasks.cancel()
        await self.publisher.close()

    def _will(self) -> tuple[str, bytes]:
        return self._topics["status"], encode(self._messages.last_will())

    def _connected(self) -> None:
        self.report()
        self._replay()

    def _lost(self) -> None:
        """What was not acknowledged is history now: newer readings will follow."""
        unsure = self.publisher.take_back(self._topics["telemetry"])
        self._history = 0
        self.counts.resent += len(unsure)
        self._outbox.put_back(message.payload for message in unsure)

    def _replay(self) -> None:
        """Send history, a little at once: live readings are not held up."""
        while self.publisher.is_connected and self._history < _HISTORY_AT_ONCE:
            payload = self._outbox.take()
            if payload is None:
                return
            self._history += 1
            topic = self._topics["telemetry"]
            self.publisher.publish(topic, payload, _HISTORY, retain=False)

    def _acknowledged(self, message: Outstanding, latency_s: float) -> None:
        is_telemetry = message.topic == self._topics["telemetry"]
        self.counts.acknowledged["telemetry" if is_telemetry else "status"] += 1
        self._on_latency(latency_s)
        if message.number == _HISTORY:
            self._history -= 1
            self.counts.replayed += 1
            self._replay()

    def _report_if_due(self) -> None:
        """A status now and then, and when something begins or ceases to be wrong."""
        is_due = time.monotonic() - self._status_s > self.settings.report_ms / 1000
        if is_due or self._messages.codes != self._codes:
            self.report()

    def _receive(self, topic: str, payload: bytes, is_retained: bool) -> None:
        if self._is_away:
            return
        if topic == self._topics["config"]:
            if self._desired.receive(payload):
                self.report()
        elif topic == self._topics["command"]:
            after = self._commands.receive(
                payload, is_retained, self._messages.now_ms() / 1000
            )
            self.report()
            if after is not None:
                after()

    def _apply(self, settings: Settings) -> None:
        """Do what a configuration says, from now on."""
        is_new_rate = settings.publish_ms != self.settings.publish_ms
        self.settings = settings
        self._outbox.resize(settings.buffer_size)
        wanted_c = settings.setpoint_c
        self.machine.setpoint_c = (
            self._made_setpoint_c if wanted_c is None else wanted_c
        )
        if is_new_rate:
            self.on_rate()
        if self._updater.wants(settings.firmware):
            self._tasks.begin(self._updater.play())

    def _actions(self) -> dict[str, Callable[[dict[str, Any]], After | None]]:
        return {
            "reboot": lambda _: lambda: self._tasks.begin(self._restart("command")),
            "identify": lambda _: None,
            "sample_now": lambda _: self.measure(self.now_ms()),
            "reset_energy": self._reset_energy,
            "factory_reset": lambda _: lambda: self._tasks.begin(self._reset()),
            "ota": self._ota,
            "rollback": self._roll_back,
        }

    def _reset_energy(self, _: dict[str, Any]) -> None:
        if not self.machine.has_meters:
            raise CommandError("no meters", "failed")
        self.machine.meters.reset_energy()

    def _ota(self, arguments: dict[str, Any]) -> After | None:
        if self._updater.is_busy:
            raise CommandError("an update is on its way")
        if not self._updater.wants(arguments):
            return None  # it runs already, has failed before, or others are chosen
        return lambda: self._tasks.begin(self._updater.play())

    def _roll_back(self, _: dict[str, Any]) -> After:
        if not self._updater.can_go_back:
            raise CommandError("no other version")
        return lambda: self._tasks.begin(self._updater.go_back())

    async def _restart(self, reason: str) -> None:
        self.report("offline")
        await self.leave(is_orderly=True)
        await asyncio.sleep(self._timing.start_s)
        self.start(f"reboot: {reason}")

    async def _reset(self) -> None:
        """Restart without configuration, and without readings that wait."""
        self._desired.erase()
        self.counts.forgotten += self._outbox.clear()
        await self._restart("factory_reset")
