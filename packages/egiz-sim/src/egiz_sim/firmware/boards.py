"""Virtual boards with the real firmware, each at a machine of its own."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from egiz_cli.tls_files import as_der
from egiz_edge_tools import umqtt
from egiz_edge_tools.virtual_board import Identity, VirtualBoard

from egiz_sim.broker import Broker
from egiz_sim.firmware.wiring import Wiring
from egiz_sim.machine import Machine

_NO_COUNTS: dict[str, Any] = {"acked": {}, "unacked": 0}


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What all boards have in common.

    Attributes:
        broker: where they connect; in its paths, {device} stands for the device id.
        facility: the place, as it stands in the topic.
        publish_ms: milliseconds between two messages.
        directory: holds the flash of each board, and what it prints.
    """

    broker: Broker
    facility: str
    publish_ms: int
    directory: Path


@dataclass(slots=True)
class Outcome:
    """What a board has counted itself, and how often it booted.

    Attributes:
        acknowledged: its messages, by kind.
        unacknowledged: those that were published and not acknowledged at the end.
        boots: why each; the first is `power_on`.
        has_counts: False if it ended without saying them.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    unacknowledged: int = 0
    boots: list[str] = field(default_factory=list)
    has_counts: bool = False

    @property
    def is_well(self) -> bool:
        """Whether every message was acknowledged, and it booted once."""
        return self.has_counts and not self.unacknowledged and len(self.boots) == 1


class Board:
    """A running device; its console is written to a file.

    Args:
        device_id: the name, as it stands in the topic.
        machine: what it measures.
        common: what it gets at provisioning.

    Raises:
        egiz_edge_tools.virtual_board.NoInterpreterError: MicroPython is missing.
    """

    def __init__(self, device_id: str, machine: Machine, common: Provisioned) -> None:
        self.device_id = device_id
        self._wiring = Wiring(machine)
        flash = common.directory / device_id
        flash.mkdir(parents=True, exist_ok=True)
        identity = _identity(device_id, machine, common, flash)
        umqtt.put(flash)  # for safe mode, if it is installed
        self._board = VirtualBoard(identity, self._wiring.hardware, flash)
        self._console = common.directory / f"{device_id}.log"
        self._last = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def move(self, seconds: float) -> None:
        """Let `seconds` pass for its machine."""
        if self._wiring.move(seconds):
            self._board.put_world()

    def stop(self) -> None:
        """Have it send what waits, and disconnect; `end` waits for that."""
        self._board.stop()

    def end(self) -> Outcome:
        """Wait until it has ended; gives its counts."""
        self._reader.join()
        self._board.close()
        counts = _counts(self._last)
        return Outcome(
            {str(kind): int(number) for kind, number in counts["acked"].items()},
            int(counts["unacked"]),
            self._board.boots,
            counts is not _NO_COUNTS,
        )

    def _read(self) -> None:
        with self._console.open("w", encoding="utf-8") as file:
            for line in self._board.lines():
                file.write(line + "\n")
                file.flush()
                self._last = line


def started(
    machines: Iterator[tuple[str, Machine]],
    common: Provisioned,
    say: Callable[[str], None],
) -> list[Board]:
    """All of them; if one cannot be started, those before it are stopped."""
    boards: list[Board] = []
    try:
        for device_id, machine in machines:
            say(f"starting {device_id}")
            boards.append(Board(device_id, machine, common))
    except BaseException:
        for board in boards:
            board.stop()
        for board in boards:
            board.end()
        raise
    return boards


def _identity(
    device_id: str, machine: Machine, common: Provisioned, flash: Path
) -> Identity:
    broker = common.broker
    files = broker.tls and {
        name: Path(path.replace("{device}", device_id)) if path else None
        for name, path in (
            ("ca", broker.tls.ca),
            ("cert", broker.tls.cert),
            ("key", broker.tls.key),
        )
    }
    return Identity(
        common.facility,
        device_id,
        broker.host,
        broker.port,
        broker.username,
        broker.password,
        publish_rate_ms=common.publish_ms,
        tls=as_der(files, flash) if files else None,
        setpoint_c=machine.setpoint_c,
    )


def _counts(last_line: str) -> dict[str, Any]:
    try:
        counts = json.loads(last_line)
        if counts["acked"].keys() and counts["unacked"] >= 0:
            return dict(counts)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # it ended before it could print them
    return _NO_COUNTS
