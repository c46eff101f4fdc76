"""Observers: programs beside the load that say which of its messages they see.

Each is a process of its own, so that what it costs is not the generator's. It reads its
order, a line of JSON, from stdin, and writes a record for each message to stdout. The
clock of the records is the monotonic one, which all processes of a machine share.
"""

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any, NoReturn

RECORD = struct.Struct("<qd")  # number of the message, monotonic seconds
_READY, _DISCONNECTED = -1, -2
_UNKNOWN = 2**62  # a message that no load can have sent, whatever its seq says
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 16


class ObserverError(Exception):
    """An observer does not work; the message says why."""


class Observer:
    """The side of the load.

    Args:
        module: of `egiz_sim.load`, which the process runs.
        order: what it is to look for, and where.
        see: called with the number and the time of each message that it sees.

    Attributes:
        disconnections: how often it lost what it reads from.
    """

    def __init__(
        self, module: str, order: dict[str, Any], see: Callable[[int, float], None]
    ) -> None:
        self._module = module
        self._order = order
        self._see = see
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.disconnections = 0

    async def start(self) -> None:
        """Run it until it is ready.

        Raises:
            ObserverError: if it is not within 30 s.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"egiz_sim.load.{self._module}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the load, which stops it in order
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(self._order).encode() + b"\n")
        self._reading = asyncio.create_task(self._read())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait(
            [ready, self._reading],
            timeout=_READY_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        ready.cancel()
        if not self._ready.is_set():
            raise ObserverError(await self._reason())

    async def stop(self) -> None:
        """Let it look once more, and end it.

        Raises:
            ObserverError: if it failed.
        """
        if self._process is None or self._reading is None:
            return
        assert self._process.stdin
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), _STOP_TIMEOUT_S)
        if not self._reading.done() or await self._process.wait():
            raise ObserverError(await self._reason())

    async def kill(self) -> None:
        """End it, whatever it does."""
        if self._process is None:
            return
        if self._reading is not None and self._reading.done():
            # It ends by itself: a signal now would take its exit code from asyncio.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _END_TIMEOUT_S)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        unread = b""
        while data := await self._process.stdout.read(_READ_BYTES):
            unread += data
            whole = len(unread) - len(unread) % RECORD.size
            for number, at in RECORD.iter_unpack(unread[:whole]):
                self._record(number, at)
            unread = unread[whole:]

    def _record(self, number: int, at: float) -> None:
        if number == _READY:
            self._ready.set()
        elif number == _DISCONNECTED:
            self.disconnections += 1
        else:
            self._see(number, at)

    async def _reason(self) -> str:
        await self.kill()
        assert self._process
        assert self._process.stderr
        text = (await self._process.stderr.read()).decode(errors="replace").strip()
        return text.splitlines()[-1] if text else "it does not answer"


class Records:
    """The side of the observer: what it writes."""

    def __init__(self) -> None:
        self._out = sys.stdout.buffer

    def ready(self) -> None:
        """Every message from now on will be seen."""
        self._write(RECORD.pack(_READY, monotonic()))

    def disconnected(self) -> None:
        """What it reads from is gone, and is looked for again."""
        self._write(RECORD.pack(_DISCONNECTED, monotonic()))

    def seen(self, numbers: list[int]) -> None:
        """These were seen now."""
        now = monotonic()
        known = [n if 0 <= n < _UNKNOWN else _UNKNOWN for n in numbers]
        self._write(b"".join([RECORD.pack(number, now) for number in known]))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._out.flush()


def read_order() -> dict[str, Any]:
    """What to look for."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    return order


def fail(reason: object) -> NoReturn:
    """End with a reason, for a person."""
    sys.stderr.write(f"{reason}\n")
    sys.exit(1)
