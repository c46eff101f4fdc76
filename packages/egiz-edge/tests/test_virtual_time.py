"""The firmware for a day of virtual time: its heap does not grow."""

from pathlib import Path

import pytest
from egiz_edge_tools.virtual_board import Identity, VirtualBoard
from rig.device import DEVICE

PROGRAM = "".join(
    (Path(__file__).parent / "virtual_time" / name).read_text()
    for name in ("clock.py", "run.py")
)
SPREAD = 2048  # bytes that tasks use when the heap is measured


@pytest.fixture
def run(micropython, mosquitto, hardware, tmp_path):
    """Runs the firmware; gives what it prints: (minute, heap, telemetry acked)."""
    del micropython  # whether there is an interpreter

    def start(minutes, every):
        hardware.watchdog_s = 1e6  # its time is real
        identity = Identity("factory", DEVICE, mosquitto.host, mosquitto.port)
        flash = tmp_path / "flash"
        flash.mkdir()
        program = f"MINUTES, EVERY = {minutes}, {every}\n{PROGRAM}"
        board = VirtualBoard(identity, hardware, flash, program=program)
        lines = list(board.lines())
        assert board.close() == 0, lines
        assert lines[-1] == "ended 0", lines
        assert "connected" in lines
        assert not [line for line in lines if "failed" in line or "not feeding" in line]
        figures = [line.split() for line in lines if line.startswith("heap ")]
        return [tuple(map(int, words[1:4])) for words in figures]

    return start


def _check(figures, live):
    """Sampling at 1 s, publishing at 5 s, as the requirements have it."""
    first, last = figures[0], figures[-1]
    assert last[2] >= 12 * last[0] - 2  # every message is acknowledged
    sent = live.messages(DEVICE, "telemetry")
    assert [m.seq for m in sent] == list(range(len(sent)))
    faulty = [m for m in sent if m.status.fault_codes]
    assert len(faulty) <= 1, faulty[:3]  # a zone that has not converted yet
    assert abs(last[1] - first[1]) <= SPREAD, figures
    return last[1] - first[1]


def test_the_heap_does_not_grow_in_ten_minutes(run, live):
    _check(run(10, 2), live)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_the_heap_does_not_grow_in_a_day(run, live):
    figures = run(24 * 60, 60)
    growth = _check(figures, live)
    print(figures, growth)  # noqa: T201  # the figures are what it is for
