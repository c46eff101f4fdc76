"""Runs the firmware in virtual time, after clock.py, from pause to pause.

At each pause it prints one line of counts, and reads from the file `order` of its
directory until which second it may run and how long an answer may take; the host has
changed the world meanwhile. The file `began` has the wall clock of second 0, and the
second at which this boot begins. The watchdog has virtual time as well.
"""

# ruff: noqa: F821  # the names of clock.py are above

_WATCHDOG_MS = 30000  # as on the board
_ORDER_US = 2000


def _words(name):
    with open(sys.argv[1] + "/" + name) as file:  # noqa: PTH123  # no pathlib there
        return [int(word) for word in file.read().split()]


class Ledger:
    samples = made = longest_ms = 0
    sampled_ms = outbox = fed_ms = None


def _note_sample():
    now = virtual.passed
    if ledger.sampled_ms is not None:
        ledger.longest_ms = max(ledger.longest_ms, now - ledger.sampled_ms)
    ledger.sampled_ms = now
    ledger.samples += 1


def _check_watchdog():
    if ledger.fed_ms is not None and virtual.passed - ledger.fed_ms > _WATCHDOG_MS:
        print("WATCHDOG")
        sys.exit(1)


def _check(supervisor, do):
    do(supervisor)
    if supervisor.stalled is None:
        ledger.fed_ms = virtual.passed


async def _sample(self, window, _do):
    _note_sample()
    await _do(self, window)


def _put(self, payload, _do):
    ledger.made += 1
    ledger.outbox = self
    _do(self, payload)


async def _run(app, _do):
    running = asyncio.create_task(_do(app))
    asyncio.create_task(_pause(app))
    await running


async def _pause(app):
    while True:
        until_s, virtual.answer_ms = _words("order")
        left_s = until_s - virtual.passed // 1000
        if left_s > 0:
            await asyncio.sleep(left_s)
            continue
        gc.collect()
        counts = [virtual.passed // 1000, ledger.samples, ledger.made]
        box = ledger.outbox
        counts += [0, 0] if box is None else [box.dropped, len(box)]
        acked = app.uplink.acked
        counts += [acked["telemetry"], acked["status"]]
        print("at", *counts, ledger.longest_ms, gc.mem_alloc())
        while _words("order")[0] == until_s:
            _real_sleep_us(_ORDER_US)


class Sockets:
    """Stands in for `socket`: the time servers of the host know what time it is."""

    datagrams = None  # the last such socket; what reads it waits for an answer


def _socket(*kind):
    made = _socket_module.socket(*kind)
    if _socket_module.SOCK_DGRAM in kind:
        with open(sys.argv[1] + "/now", "w") as file:  # noqa: PTH123  # as above
            file.write(str(virtual.time_ns() // 1000000))
        Sockets.datagrams = made
    return made


async def _read(self, n, _do):
    if self.s is Sockets.datagrams:
        due[id(self.s)] = True
    return await _do(self, n)


def _wrap(owner, name, wrapper):
    do = getattr(owner, name)
    setattr(owner, name, lambda self, *rest: wrapper(self, *rest, do))


import socket as _socket_module  # noqa: E402  # for `Sockets`

for _name in dir(_socket_module):
    setattr(Sockets, _name, getattr(_socket_module, _name))
Sockets.socket = _socket
sys.modules["socket"] = Sockets
ledger = Ledger()
_began_ms, _second = _words("began")
virtual.began_ns, virtual.passed = _began_ms * 1000000, _second * 1000
virtual.polled_us, virtual.on_jump = 500, _check_watchdog
_wrap(Stream, "read", _read)

from egiz_edge.app import App  # noqa: E402  # as above
from egiz_edge.main import main  # noqa: E402  # time is ours by now
from egiz_edge.outbox import Outbox  # noqa: E402  # as above
from egiz_edge.sensors import Sensors  # noqa: E402  # as above
from egiz_edge.supervisor import Supervisor  # noqa: E402  # as above

_wrap(App, "run", _run)
_wrap(Outbox, "put", _put)
_wrap(Sensors, "sample", _sample)
_wrap(Supervisor, "check", _check)
main(sys.argv[1])
