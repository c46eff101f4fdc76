"""What a scenario may say: the members of its file, and their bounds."""

from typing import Annotated, Any

import msgspec

from egiz_sim.sensors import FaultKind
from egiz_sim.updates import Outcome

_Positive = Annotated[float, msgspec.Meta(gt=0, le=1e7)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e7)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
# Of device ids, as a shell has it: `oven-*`, or `*-001`, which is a line of machines.
_Pattern = Annotated[str, msgspec.Meta(min_length=1)]


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; what it does not know is an error."""


class FleetTable(_Table):
    """Who publishes; options of the command line win.

    Attributes:
        devices: how many.
        rate_hz: messages a second of each.
        seconds: how long.
        seed: of their readings.
        ramp_s: over how long they connect.
        shift_begins_s: after how long the machines begin to work; 0 is at once.
        sensor_faults: share of the machines with a sensor that fails.
        updates: how updates end, and for which share of the devices.
    """

    devices: _Count
    seconds: _Positive
    rate_hz: Annotated[float, msgspec.Meta(ge=0.001, le=1000)] = 1.0
    seed: int = 1
    ramp_s: _Seconds = 0.0
    shift_begins_s: _Seconds = 0.0
    sensor_faults: _Share = 0.0
    updates: dict[Outcome, _Share] = {}


class _Event(_Table, tag_field="do", kw_only=True):
    """Something that happens `at_s` seconds after the first reading."""

    at_s: _Seconds

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + getattr(self, "lasts_s", 0.0)


class Disconnect(_Event, tag="disconnect"):
    """Devices lose their connection, and are back after `lasts_s`; so many `times`.

    Without `orderly` the network breaks, and the broker publishes their last wills.
    """

    devices: _Pattern = "*"
    lasts_s: _Seconds = 0.0
    orderly: bool = False
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1

    @property
    def ends_s(self) -> float:
        """After the last time; each is followed by as long a pause."""
        return self.at_s + self.lasts_s * (2 * self.times - 1)


class RestartBroker(_Event, tag="restart_broker"):
    """The broker is stopped, and started again after `lasts_s`."""

    lasts_s: _Seconds = 0.0


class SlowDatabase(_Event, tag="slow_database"):
    """Another program locks the archive: `held_s` of each second, as it were."""

    lasts_s: _Positive
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.8


class WrongClock(_Event, tag="wrong_clock"):
    """The clocks of devices are wrong by `by_s`, which is not scaled."""

    devices: _Pattern
    by_s: Annotated[float, msgspec.Meta(ge=-1e7, le=1e7)]
    lasts_s: _Positive


class FailSensor(_Event, tag="fail_sensor"):
    """A sensor of each device fails: `zone_0`, `meter_a`, or the name of a value."""

    devices: _Pattern
    sensor: str
    kind: FaultKind
    lasts_s: _Positive


class SendCommands(_Event, tag="send_commands"):
    """Each device gets `each` commands, one after the other."""

    devices: _Pattern = "*"
    action: str = "identify"
    args: dict[str, Any] = {}
    each: _Count = 1


class SendConfig(_Event, tag="send_config", kw_only=True):
    """Each device gets a config: its members but `device_id` and `rev`."""

    devices: _Pattern = "*"
    config: dict[str, Any]


class Rogue(_Event, tag="rogue"):
    """Something that is no device of ours publishes what breaks the contract."""

    messages: _Count
    lasts_s: _Seconds = 0.0


Event = (
    Disconnect
    | RestartBroker
    | SlowDatabase
    | WrongClock
    | FailSensor
    | SendCommands
    | SendConfig
    | Rogue
)
OF_DEVICES = Disconnect | WrongClock | FailSensor | SendCommands | SendConfig
# What only a run that starts broker and bridge itself can do.
OF_OWN_PARTS = RestartBroker | SlowDatabase


class Scenario(_Table):
    """A scenario.

    Attributes:
        about: one line.
        fleet: who publishes.
        event: what happens.
    """

    about: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    fleet: FleetTable
    event: list[Event] = []

    def lasting(self, seconds: float) -> "Scenario":
        """The same, faster or slower: it lasts so many seconds."""
        factor = seconds / self.fleet.seconds
        return msgspec.structs.replace(
            self,
            fleet=_scaled(self.fleet, factor),
            event=[_scaled(event, factor) for event in self.event],
        )


_SCALED = ("at_s", "lasts_s", "seconds", "ramp_s", "shift_begins_s")


def _scaled(table: Any, factor: float) -> Any:
    times = {name: getattr(table, name) for name in _SCALED if hasattr(table, name)}
    scaled = {name: factor * seconds for name, seconds in times.items()}
    return msgspec.structs.replace(table, **scaled)
