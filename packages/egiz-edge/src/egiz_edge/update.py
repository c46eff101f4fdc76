"""The app's part of an update: order, trial and status; few boots load it.

The updater itself is a boot of its own, see ota/boot.py.
"""

import asyncio
import gc
import time

from egiz_edge import boot_loop, timeouts, unload
from egiz_edge.report import FIRMWARE_VERSION

_FREE_MIN = 10240  # bytes of heap
_LOOKS = 6  # at a trial while CONFIRM_MS pass
_LIMIT = 10  # times CONFIRM_MS and the longest period, until a trial is given up


def accept(board, device_id, wanted):
    """Keep an order, which the next boot obeys; gives the reason of a refusal, or None.

    Args:
        board: the `Board`.
        device_id: of this device.
        wanted: arguments of the command `ota`; None to roll back.
    """
    from egiz_edge.ota import order  # noqa: PLC0415  # the caller unloads them

    if wanted is None:
        return _under_way(board) or _roll_back(board)
    reason = refusal(board, wanted) or _not_now(board, device_id, wanted)
    if reason is None:
        order.give(_directory(board), board, wanted)
    return reason


def refusal(board, wanted):
    """Why an order cannot be given to the updater, or None.

    What else may be wrong with it is found by the updater: its modules are large.
    """
    reason = _under_way(board)
    if reason is None and wanted["version"] == FIRMWARE_VERSION:
        reason = "it is version %s" % FIRMWARE_VERSION
    if reason is None and board.store.get("root") is None:
        reason = "no key"
    return reason


def _under_way(board):
    from egiz_edge import slots  # noqa: PLC0415  # as above
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    if slots.is_on_trial(_directory(board)):
        return "an update is on trial"
    if order.read(board.data_directory) is not None:
        return "an update is on its way"
    return None


def _not_now(board, device_id, wanted):
    """Why a command, which does not wait, cannot be obeyed at this moment, or None."""
    from egiz_edge.ota import rollout  # noqa: PLC0415  # as above

    reason = rollout.problem(wanted)
    if reason is None and not rollout.is_chosen(wanted, device_id):
        reason = "not of these %d percent" % wanted["percent"]
    return reason or rollout.not_now(wanted, now_s(board))[0]


def now_s(board):
    """Since 1970, UTC; None while the clock is not set."""
    clock = board.clock
    return clock.now_ms() // 1000 if clock.is_synced() else None


def _roll_back(board):
    """Have the other slot run, if a version is there that may."""
    from egiz_edge import desired_firmware, slots  # noqa: PLC0415  # as above
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    directory = _directory(board)
    other = slots.other()
    try:
        with open("%s/%s/release" % (directory, other), "rb") as file:
            security = _security(file)
    except (OSError, ValueError, IndexError):
        return "no other version"
    floor = int(board.store.get("floor") or 0)
    if security < floor:
        return "security %d, below %d" % (security, floor)
    desired_firmware.take_back(board.store, FIRMWARE_VERSION)
    slots.write(directory, other)
    order.end(board, "rolled_back", FIRMWARE_VERSION, "command")
    return None


def _security(file):
    """Of a release that was verified when it came; ota/release.py has the format.

    That module and its names would not fit beside the app.
    """
    file.seek(int(file.readline().split()[2]), 1)  # past the signature
    for line in file:
        if line.startswith(b"security "):
            return int(line[9:])
    raise ValueError


def restore(app):
    """After a boot with an order: keep how it ended, or watch over its trial."""
    from egiz_edge import slots  # noqa: PLC0415  # as the next one
    from egiz_edge.ota import order  # noqa: PLC0415  # not kept, see `_unload`

    board = app.board
    given = order.read(board.data_directory)
    if given is not None:
        try:
            _end(board, given)
        except OSError as error:  # a full flash must not keep the app from running
            app.log("update: the flash cannot keep what became of it: %r" % error)
    if slots.is_on_trial(_directory(board)):
        asyncio.create_task(_watch(app))  # noqa: RUF006  # the loop of the board keeps it
    _unload()


def _end(board, given):
    """Keep how an order has ended, unless its version is on trial."""
    from egiz_edge import slots  # noqa: PLC0415  # as above
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    directory = _directory(board)
    ended = order.outcome(directory, given)
    if ended is None and not slots.is_on_trial(directory):
        order.write(board.data_directory, given)  # raises where it could not be counted
        ended = "failed", "updater: did not run"  # the console has the reason
    if ended is not None:
        if ended[0] == "rolled_back":
            slots.spoil(directory)
        order.end(board, ended[0], given["version"], ended[1])


async def _watch(app):
    """Keep the version on trial once it has shown all that it must, or give it up."""
    since = time.ticks_ms()
    while True:
        await asyncio.sleep(timeouts.CONFIRM_MS / 1000 / _LOOKS)
        is_late = time.ticks_diff(time.ticks_ms(), since) > _limit_ms(app.settings)
        try:
            if _is_over(app, is_late):
                return
        except Exception as error:
            app.log("update: the trial goes on: %r" % error)
        finally:
            _unload()


def _is_over(app, is_late):
    """Whether it is kept; one that cannot be kept must not stay on trial for ever."""
    try:
        reason = _missing(app) or _kept(app)
    except Exception as error:
        app.log("update: not confirmed: %r" % error)
        reason = "not confirmed: %r" % error
    if reason is not None and is_late:
        _give_up(app, reason)
    return reason is None


def _limit_ms(settings):
    """Also a device that publishes once an hour must have the time to do it."""
    period_ms = max(settings.sampling_rate_ms, settings.publish_rate_ms)
    return _LIMIT * timeouts.CONFIRM_MS + 2 * period_ms


def _missing(app):
    """The first thing that this version has not shown yet; None if it has shown all."""
    acked = app.uplink.acked
    if not acked["status"] or not acked["telemetry"]:
        return "no broker"
    if boot_loop.read(app.board.data_directory)[0]:
        return "did not run well for a minute"
    gc.collect()
    free = gc.mem_free() if hasattr(gc, "mem_free") else _FREE_MIN
    return "only %d bytes of heap free" % free if free < _FREE_MIN else None


def _kept(app):
    """Keep it, and give None; else the reason why it is not kept."""
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    board = app.board
    given = order.read(board.data_directory)
    if given is None or "proven" not in given:
        return "the order is lost"
    order.confirm(_directory(board), board, given)
    app.log("update: %s is confirmed" % FIRMWARE_VERSION)
    app.downlink.update = '"ota":' + board.store.get("ota")
    app.uplink.report_soon()
    return None


def _give_up(app, reason):
    from egiz_edge import slots  # noqa: PLC0415  # as above

    run, trial, _, word = slots.read(_directory(app.board))
    if trial == "-":
        return  # only the end of the order is not kept yet
    app.log("update: given up: %s" % reason)
    slots.write(_directory(app.board), run, trial, 0, word)  # so it is rolled back
    app.reset(reason)


def _directory(board):
    return board.data_directory[: -len("/data")]


def _unload():
    unload("ota.order", "ota", "slots")
