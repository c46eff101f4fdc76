"""A device: the firmware on a virtual board; a thread reads its output."""

import json
import threading
from pathlib import Path
from typing import Any

from egiz_edge_tools.hardware import Hardware, Meter, Thermometer, rom
from egiz_edge_tools.virtual_board import Identity, VirtualBoard

DEVICE = "oven-001"


class Device:
    """A running device.

    Args:
        address: host and port of the broker.
        directory: its flash.
        hardware: its parts.
        device_id: who it is.
        identity: further fields of `Identity`.
    """

    def __init__(
        self,
        address: tuple[str, int],
        directory: Path,
        hardware: Hardware,
        device_id: str = DEVICE,
        **identity: Any,
    ) -> None:
        self.hardware = hardware
        self._outbox = directory / "data" / "outbox"
        settings = {"sampling_rate_ms": 200, "publish_rate_ms": 1000, **identity}
        self._board = VirtualBoard(
            Identity("factory", device_id, *address, **settings), hardware, directory
        )
        self.output: list[str] = []
        self._reader = threading.Thread(
            target=lambda: self.output.extend(self._board.lines())
        )
        self._reader.start()

    def sockets(self) -> int:
        """How many it has open."""
        ends = Path(f"/proc/{self._board.pid}/fd").iterdir()
        return sum("socket:" in str(end.readlink()) for end in ends)

    def kill(self) -> None:
        """Cut its power."""
        self._board.cut_power()  # its process may be another one at each moment
        self._end()

    def stop(self) -> dict[str, Any]:
        """Stop it in good order; gives its counts, as the firmware prints them."""
        self._board.stop()
        code = self._end()
        assert code == 0, self.output
        counts: dict[str, Any] = json.loads(self.output[-1])
        return counts

    def newest_segment(self) -> int:
        """Number of its outbox's newest file, which holds up to ten messages; or 0."""
        return max((int(path.stem) for path in self._outbox.glob("*.seg")), default=0)

    def is_running(self) -> bool:
        """Whether its output has not ended."""
        return self._reader.is_alive()

    def _end(self) -> int:
        self._reader.join(30)
        return self._board.close()


def full_hardware() -> Hardware:
    """Three meters, two thermometers, two inputs."""
    return Hardware(
        meters={
            1: Meter(225.7, 0.108, 1.0, 50.0, 38),
            2: Meter(230.1, 10.5, 0.9, 50.0, 1_000_000),
            3: Meter(229.9, 0.0, 0.0, 50.0, 0),
        },
        thermometers={rom(0): Thermometer(120.5), rom(1): Thermometer(-18.5)},
        pins={"running": 1, "fault": 0},
        rssi=-61,
    )
