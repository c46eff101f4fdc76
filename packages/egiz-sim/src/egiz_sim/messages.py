"""The messages of a light device: its readings, its statuses, its last will."""

import time
from typing import NamedTuple
from zlib import crc32

import msgspec
from egiz_schema import (
    AppliedConfig,
    CommandResult,
    Health,
    Ota,
    Status,
    Telemetry,
    Thermal,
    limits,
)

from egiz_sim.desired import Settings
from egiz_sim.machine import Machine, Reading

_NO_ZONE = "zone_"  # codes of zones are of those that are shown


class Outcomes(NamedTuple):
    """What a status says beside the device itself: how orders ended."""

    firmware_version: str
    config: AppliedConfig | None
    last_command: CommandResult | None
    ota: Ota | None


class Messages:
    """Writes the messages of one device, boot by boot.

    Args:
        device_id: of this device.
        machine: what it measures.
        can: the actions that it knows.

    Attributes:
        last: the last reading.
    """

    def __init__(self, device_id: str, machine: Machine, can: list[str]) -> None:
        self.last: Telemetry | None = None
        self._device_id = device_id
        self._machine = machine
        self._can = sorted(can)
        self._boot, self._cause = 1, "power_on"
        self._skew_ms = 0
        self._seq = self._started_ms = 0
        self._last_ms = {"telemetry": 0, "status": 0}
        self._roms = [_rom(device_id, number) for number in range(machine.zones)]

    @property
    def codes(self) -> list[str]:
        """Fault codes of the last reading."""
        return self.last.status.fault_codes if self.last and self.last.status else []

    def restart(self, cause: str) -> None:
        """Begin the next boot."""
        self._boot += 1
        self._seq = self._started_ms = 0
        self._cause = cause

    def set_clock(self, wrong_by_ms: int) -> None:
        """Let the clock of the device be wrong from now on."""
        self._skew_ms = wrong_by_ms
        self._last_ms = dict.fromkeys(self._last_ms, 0)

    def now_ms(self) -> int:
        """What the clock of the device says."""
        return time.time_ns() // 1_000_000 + self._skew_ms

    def telemetry(
        self, reading: Reading, settings: Settings, time_ms: int
    ) -> Telemetry:
        """A reading; its time is `time_ms`, or later than that of the one before."""
        reading = self._shown(reading, settings.zones)
        codes = self._fault_codes(reading)
        if settings.alerts:
            codes += settings.alerts.evaluate(reading)
        self._started_ms = self._started_ms or time_ms
        uptime_s = max(0, time_ms - self._started_ms) // 1000
        time_ms = self._stamp_ms("telemetry", time_ms + self._skew_ms)
        self.last = Telemetry(
            device_id=self._device_id,
            timestamp=time_ms // 1000,
            ms=time_ms % 1000,
            seq=self._seq,
            boot=self._boot,
            **reading._asdict(),
            status=Health(
                operational_state=self._machine.state,
                wifi_rssi=min(0, int(self._machine.rng.gauss(-62, 3))),
                uptime_seconds=uptime_s,
                fault_codes=codes[: limits.CODES_MAX],
            ),
        )
        self._seq += 1
        return self.last

    def status(
        self, state: str, outcomes: Outcomes, waiting: int, dropped: int
    ) -> Status:
        """A status of now; `waiting` and `dropped` are readings of the outbox."""
        time_ms = self._stamp_ms("status", self.now_ms())
        return Status(
            device_id=self._device_id,
            timestamp=time_ms // 1000,
            ms=time_ms % 1000,
            state=state,
            boot=self._boot,
            schema=str(limits.WIRE_VERSION),
            reset_cause=self._cause,
            health=self._health(waiting, dropped),
            sensors=self._sensors(),
            board=f"sim{crc32(self._device_id.encode()):08x}",
            can=self._can,
            channels=self._machine.channels or None,
            **outcomes._asdict(),
        )

    def last_will(self) -> Status:
        """What the broker publishes if the connection breaks; it has no time."""
        return Status(device_id=self._device_id, state="offline", boot=self._boot)

    def _health(self, waiting: int, dropped: int) -> Health:
        last = self.last.status if self.last and self.last.status else Health()
        return Health(
            uptime_seconds=last.uptime_seconds,
            wifi_rssi=last.wifi_rssi,
            buffer_depth=waiting,
            dropped=dropped,
            fault_codes=last.fault_codes,
        )

    def _shown(self, reading: Reading, roms: tuple[str, ...] | None) -> Reading:
        """With the zones that a configuration names, in its order."""
        if roms is None or reading.thermal is None:
            return reading
        measured = reading.thermal.temperature_zones or ()
        found = dict(zip(self._roms, measured, strict=True))
        zones = [found.get(rom) for rom in roms]
        thermal: Thermal = msgspec.structs.replace(
            reading.thermal, temperature_zones=zones
        )
        return reading._replace(thermal=thermal)

    def _fault_codes(self, reading: Reading) -> list[str]:
        zones = reading.thermal.temperature_zones if reading.thermal else None
        codes = [
            f"{_NO_ZONE}{number}:no_reply"
            for number, zone in enumerate(zones or ())
            if zone is None
        ]
        others = self._machine.fault_codes
        return codes + [code for code in others if not code.startswith(_NO_ZONE)]

    def _sensors(self) -> list[str]:
        meters = "abc" if self._machine.has_meters else ""
        names = [f"pzem_{phase}" for phase in meters]
        return names + [f"ds18b20:{rom}" for rom in self._roms]

    def _stamp_ms(self, kind: str, time_ms: int) -> int:
        """`time_ms` or later: two of one instant are one point in a database."""
        self._last_ms[kind] = max(time_ms, self._last_ms[kind] + 1)
        return self._last_ms[kind]


def _rom(device_id: str, number: int) -> str:
    """ROM id of a thermometer: family, serial number, and no CRC of a real one."""
    return f"28{crc32(f'{device_id}/{number}'.encode()):012x}{number:02x}"
