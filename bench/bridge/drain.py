"""How fast: a session full of messages is drained; rate, CPU a message, memory.

What starting costs is measured without messages, and subtracted.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from rig.load import Connection
from rig.messages import DEVICES, message

from bridge.peers import Peer, Running
from bridge.shared import Rig, fresh_rig

_ASK_EVERY_S = 0.1
_AT_ONCE = 100


class Cost(NamedTuple):
    """Of a run: wall and CPU seconds, peak resident MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def measure(peer: Peer, messages: int) -> Cost:
    """Of so many messages."""
    with fresh_rig() as rig:
        start = finished(peer.start(rig, 0))
        _fill(rig, messages)
        whole = finished(peer.start(rig, messages))
        if peer.stores:
            found = rig.stored_at_last(messages, 30)
            assert found == messages, f"{peer.name}: {found} of {messages} stored"
    return Cost(whole.wall_s - start.wall_s, whole.cpu_s - start.cpu_s, whole.peak_mib)


def _fill(rig: Rig, messages: int) -> None:
    connection = Connection(rig.broker.port)
    begin_ms = time.time_ns() // 1_000_000 - 60_000
    for first in range(0, messages, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, messages))
        connection.publish(
            [
                message(f"oven-{n % DEVICES}", begin_ms + n // DEVICES, n // DEVICES)
                for n in numbers
            ]
        )
    while not connection.read_acks(5):
        pass


def finished(running: Running) -> Cost:
    """What a run has cost, once it is done."""
    process, is_done = running
    begun = time.monotonic()
    peak_mib = 0.0
    while not (is_done() if is_done else _has_ended(process.pid)):
        peak_mib = max(peak_mib, _resident_mib(process.pid))
        time.sleep(_ASK_EVERY_S)
    wall_s = time.monotonic() - begun
    if is_done:
        process.terminate()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.args
    return Cost(wall_s, used.ru_utime + used.ru_stime, peak_mib)


def _has_ended(pid: int) -> bool:
    """Without reaping it: what it used is asked for afterwards."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None


def _resident_mib(pid: int) -> float:
    # Not ru_maxrss: on Linux that begins with the memory of whoever started it.
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
