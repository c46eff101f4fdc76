"""What happens in a scenario, when it is due."""

import asyncio

from egiz_sim.device import Device
from egiz_sim.fleet import Fleet
from egiz_sim.scenario.model import (
    Disconnect,
    Event,
    FailSensor,
    RestartBroker,
    Rogue,
    Scenario,
    SendCommands,
    SendConfig,
    SlowDatabase,
    WrongClock,
)
from egiz_sim.scenario.operator import Operator
from egiz_sim.scenario.plant import Plant
from egiz_sim.scenario.reading import chosen
from egiz_sim.scenario.rogue import RogueDevice


class Script:
    """Lets the events of a scenario happen.

    Args:
        scenario: what happens.
        fleet: to whom.
        operator: sends the orders.
        rogue: what publishes what it may not.
        plant: broker and bridge of the run, if it has started them itself.

    Attributes:
        commands: ids of those that were sent.
        cut: how often the network of a device broke, each time with a last will.
    """

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        operator: Operator,
        rogue: RogueDevice,
        plant: Plant | None,
    ) -> None:
        self._scenario = scenario
        self._fleet = fleet
        self._operator = operator
        self._rogue = rogue
        self._plant = plant
        self._devices = {device.device_id: device for device in fleet.devices}
        self.commands: list[str] = []
        self.cut: dict[str, int] = {}

    async def run(self) -> None:
        """Until the last event is over; raises PartError."""
        await self._fleet.begun.wait()
        events = [
            asyncio.create_task(self._happen(each)) for each in self._scenario.event
        ]
        try:
            await asyncio.gather(*events)
        finally:
            for event in events:
                event.cancel()

    async def _happen(self, event: Event) -> None:
        await asyncio.sleep(event.at_s)
        match event:
            case Disconnect():
                await self._disconnect(event)
            case RestartBroker():
                await self._restart_broker(event)
            case SlowDatabase():
                await self._slow_database(event)
            case WrongClock():
                await self._wrong_clock(event)
            case FailSensor():
                self._fail_sensor(event)
            case SendCommands():
                await self._send_commands(event)
            case SendConfig():
                self._send_config(event)
            case Rogue():
                await self._be_rogue(event)

    def _chosen(self, pattern: str) -> list[Device]:
        return [self._devices[name] for name in chosen(pattern, list(self._devices))]

    async def _disconnect(self, event: Disconnect) -> None:
        devices = self._chosen(event.devices)
        for number in range(event.times):
            await asyncio.sleep(event.lasts_s if number else 0)
            for device in devices:
                if device.publisher.is_connected and not event.orderly:
                    name = device.device_id
                    self.cut[name] = self.cut.get(name, 0) + 1
            ends = (d.disconnect(is_orderly=event.orderly) for d in devices)
            await asyncio.gather(*ends)
            await asyncio.sleep(event.lasts_s)
            for device in devices:
                device.reconnect()

    async def _restart_broker(self, event: RestartBroker) -> None:
        assert self._plant is not None
        await self._plant.restart_broker(event.lasts_s)

    async def _slow_database(self, event: SlowDatabase) -> None:
        assert self._plant is not None
        await self._plant.archive.hold_up(event.lasts_s, event.share)

    async def _wrong_clock(self, event: WrongClock) -> None:
        devices = self._chosen(event.devices)
        for device in devices:
            device.set_clock(round(1000 * event.by_s))
        await asyncio.sleep(event.lasts_s)
        for device in devices:
            device.set_clock(0)

    def _fail_sensor(self, event: FailSensor) -> None:
        for device in self._chosen(event.devices):
            device.machine.fail(event.sensor, event.kind, event.lasts_s)

    async def _send_commands(self, event: SendCommands) -> None:
        for _ in range(event.each):
            for device in self._chosen(event.devices):
                command_id = f"{event.action}-{len(self.commands) + 1}"
                self.commands.append(command_id)
                name, args = device.device_id, dict(event.args)
                self._operator.send_command(name, command_id, event.action, args)
            await asyncio.sleep(0)

    def _send_config(self, event: SendConfig) -> None:
        for device in self._chosen(event.devices):
            self._operator.send_config(device.device_id, event.config)

    async def _be_rogue(self, event: Rogue) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        for number in range(event.messages):
            due = begun + event.lasts_s * number / event.messages
            await asyncio.sleep(max(0.0, due - clock()))
            self._rogue.publish()
