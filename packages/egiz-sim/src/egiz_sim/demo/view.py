"""What the demo shows: a live table on a terminal, a line every second elsewhere."""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from egiz_sim.demo.archive import Latest

_BARS = "▁▂▃▄▅▆▇█"
_READINGS = 12  # of a device's line, a second each


class Trends:
    """The last readings of each device, drawn as a line of text."""

    def __init__(self) -> None:
        self._readings: dict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=_READINGS)
        )

    def add(self, devices: Mapping[str, Latest]) -> None:
        """Note the last telemetry by device id."""
        for device_id, last in devices.items():
            shown = (last.celsius, last.weight_kg, last.amperes, last.pieces)
            reading = next((one for one in shown if one is not None), None)
            if reading is not None:
                self._readings[device_id].append(reading)

    def line(self, device_id: str) -> str:
        """From its lowest to its highest reading; a steady one is low throughout."""
        readings = self._readings[device_id]
        least = min(readings, default=0.0)
        step = (max(readings, default=0.0) - least) / (len(_BARS) - 1)
        return "".join(
            _BARS[round((one - least) / step) if step else 0] for one in readings
        )


class View:
    """Shows the progress of the demo; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.trends = Trends()
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, summary: str, devices: Mapping[str, Latest]) -> None:
        """Show the totals, and the last telemetry by device id."""
        self.trends.add(devices)
        if self._console.is_terminal:
            self._live.update(rendered(summary, devices, self.trends))
        else:
            self._console.print(summary, highlight=False, soft_wrap=True)


def rendered(
    summary: str, devices: Mapping[str, Latest], trends: Trends
) -> RenderableType:
    """What the live view shows: a table of the devices, and the summary."""
    table = Table(title="Devices, as archived", title_justify="left")
    table.add_column("device")
    table.add_column("state")
    for column in ("V (a)", "A (a)", "°C", "other"):
        table.add_column(column, justify="right")
    table.add_column("°C, kg or A", no_wrap=True)
    for device_id, last in sorted(devices.items()):
        table.add_row(
            device_id,
            Text(last.state or "", style="red" if last.state == "fault" else ""),
            _number(last.volts, 1),
            _number(last.amperes, 2),
            _number(last.celsius, 1),
            _other(last),
            Text(trends.line(device_id), style="cyan"),
        )
    return Group(table, Text(summary))


def _other(last: Latest) -> str:
    """What has no field of its own: a device here measures one of them."""
    shown = (
        (last.humidity, "{:.1f} % RH"),
        (last.weight_kg, "{:,.0f} kg"),
        (last.pieces, "{:,} pieces"),
    )
    return ", ".join(text.format(value) for value, text in shown if value is not None)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
