"""The desired configuration of a light device: checked, applied, reported."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple
from zlib import crc32

from egiz_schema import AppliedConfig, RefusedConfig, limits, orders

from egiz_sim.alerts import AlertError, Alerts
from egiz_sim.machine import Machine
from egiz_sim.shifts import Shifts

REPORT_MS = 60_000
BUFFER_MESSAGES = 1_000  # of 650 bytes each, in each of thousands of devices
_ROM_DIGITS = 16
_REV_MAX = limits.U32_MAX
# What a person may set a thermostat to; not of the contract, see the documentation.
_SETPOINT_C = (-60, 400)


class ConfigError(ValueError):
    """A configuration that cannot be applied; its text says why."""


class Settings(NamedTuple):
    """What a configuration leads to.

    Attributes:
        publish_ms: between two readings.
        report_ms: between two statuses, if nothing changes.
        buffer_size: readings that are kept in an outage.
        zones: ROM ids of thermometers, in the order in which they are shown; None is
            all of them.
        alerts: thresholds that are watched.
        setpoint_c: of the thermostat; None is as the machine was made.
        firmware: the release that is wanted, as the message has it.
    """

    publish_ms: float
    report_ms: int = REPORT_MS
    buffer_size: int = BUFFER_MESSAGES
    zones: tuple[str, ...] | None = None
    alerts: Alerts | None = None
    setpoint_c: float | None = None
    firmware: dict[str, Any] | None = None


class Desired:
    """Processes config messages, each once.

    Args:
        device_id: whose they are.
        machine: what it measures.
        given: what holds as long as no message says otherwise.
        broker: ``host:port`` of where it is connected.
        on_change: called with what is in force from now on.
    """

    def __init__(
        self,
        device_id: str,
        machine: Machine,
        given: Settings,
        broker: str,
        on_change: Callable[[Settings], None],
    ) -> None:
        self._device_id = device_id
        self._machine = machine
        self._given = given
        self._broker = broker
        self._on_change = on_change
        self._seen: int | None = None  # CRC-32 of the message before
        self._in_force: tuple[int, int] | None = None  # rev, crc
        self._refused: RefusedConfig | None = None

    def receive(self, payload: bytes) -> bool:
        """Process a message of the topic; gives whether there is something to report.

        It is retained, so it comes again at each connection. An empty one says only
        that the broker has none any more.
        """
        crc = crc32(payload)
        if not payload or crc == self._seen:
            return False
        document: Any = None
        try:
            document = _parsed(payload)
            orders.check_config(document, self._device_id)
            rev = document.get("rev") or 0
            if self._in_force and rev < self._in_force[0] < _REV_MAX:
                return False  # an older one, which a broker had kept
            settings = self._resolve(document)
        except ValueError as error:
            self._seen = crc
            self._refused = RefusedConfig(
                rev=_rev_of(document), crc=crc, error=_sentence(error)
            )
            return True
        self._seen, self._in_force, self._refused = crc, (rev, crc), None
        self._on_change(settings)
        return True

    def erase(self) -> None:
        """Factory reset: as it was made, and ready for any revision."""
        self._seen = self._in_force = self._refused = None
        self._on_change(self._given)

    def report(self) -> AppliedConfig | None:
        """What the status says of it; None before the first message."""
        refused = self._refused
        if self._in_force is not None:
            rev, crc = self._in_force
            return AppliedConfig(rev=rev, applied=True, crc=crc, refused=refused)
        if refused is None:
            return None
        return AppliedConfig(
            rev=refused.rev or 0, applied=False, error=refused.error, refused=refused
        )

    def _resolve(self, document: dict[str, Any]) -> Settings:
        """What a message leads to that the contract allows."""
        given = self._given
        self._check_broker(document.get("mqtt_broker"))
        _check_window(document.get("firmware"))
        return Settings(
            publish_ms=_or(document.get("publish_rate_ms"), given.publish_ms),
            report_ms=_or(document.get("report_rate_ms"), given.report_ms),
            buffer_size=_or(document.get("buffer_size"), given.buffer_size),
            zones=_zones(document.get("zones")),
            alerts=self._alerts(document.get("alerts")),
            setpoint_c=self._setpoint(document.get("setpoint")),
            firmware=document.get("firmware"),
        )

    def _check_broker(self, wanted: str | None) -> None:
        if wanted is None:
            return
        try:
            host, port = orders.split_host_port(wanted)
        except ValueError as error:
            raise ConfigError(f"mqtt_broker: {error}") from None
        if f"{host}:{port or 1883}" != self._broker:
            raise ConfigError("mqtt_broker: a simulated device stays at its own")

    def _alerts(self, wanted: dict[str, Any] | None) -> Alerts | None:
        try:
            return Alerts(wanted, self._machine) if wanted else None
        except AlertError as error:
            raise ConfigError(str(error)) from None

    def _setpoint(self, wanted: object) -> float | None:
        if wanted is None:
            return None
        if self._machine.setpoint_c is None:
            raise ConfigError("setpoint: this machine has no thermostat")
        if type(wanted) not in {int, float}:
            raise ConfigError("setpoint: not a number")
        assert isinstance(wanted, int | float)
        low, high = _SETPOINT_C
        if not low <= wanted <= high:
            raise ConfigError(f"setpoint: not {low}..{high}")
        return float(wanted)


def _parsed(payload: bytes) -> object:
    if len(payload) > limits.PAYLOAD_BYTES_MAX:
        raise ConfigError(f"more than {limits.PAYLOAD_BYTES_MAX} bytes")
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise ConfigError("not JSON") from None


def _zones(named: dict[str, str] | None) -> tuple[str, ...] | None:
    """ROM ids, in the order of the names that their zones have."""
    if named is None:
        return None
    for rom in named:
        if len(rom) != _ROM_DIGITS or not set(rom) <= set("0123456789abcdefABCDEF"):
            raise ConfigError(f"zones.{rom[:32]}: not a ROM id")
    return tuple(rom.lower() for _, rom in sorted((n, rom) for rom, n in named.items()))


def _check_window(firmware: dict[str, Any] | None) -> None:
    window = (firmware or {}).get("window")
    if window:
        try:
            Shifts.parse(f"mon-sun {window}")
        except ValueError:
            raise ConfigError("firmware.window: not like 22:00-04:00") from None


def _or(wanted: Any, given: Any) -> Any:
    return given if wanted is None else wanted


def _rev_of(document: object) -> int | None:
    """The revision that a refused message has, if it is one."""
    rev = document.get("rev") if isinstance(document, dict) else None
    return rev if type(rev) is int and 0 <= rev <= _REV_MAX else None


def _sentence(error: ValueError) -> str:
    """Of an error of `orders`, which has a reason before it, or of our own."""
    text = str(error.args[-1])
    shown = "".join(c if limits.is_text(c) else "?" for c in text)
    return shown[: limits.TEXT_MAX]
