"""The firmware that the configuration wants: brought, when it may be.

desired_config.py keeps what is wanted, and ota/rollout.py decides. In memory only
meanwhile: it looks after a configuration, after a boot, and when a wait is over.
An order is counted in flash before it is given, and at most rollout.TIMES times, so
that whatever becomes of it, the reboots end.
"""

from egiz_edge import firmware, slots
from egiz_edge.ota import order, rollout
from egiz_edge.report import FIRMWARE_VERSION

_AFTER_S = 60  # as downlink.py has put the next look off
_LOOK_S = 3600  # at the latest: a clock may be set otherwise meanwhile
_BUSY_S = 60  # between two looks while another update is on its way
_EARLY_S = 5
_BIRTH_S = 60  # how long an order waits for the first status of this boot


def look(app):
    """Begin the update, or wait for it, or refuse it."""
    board, due = app.board, app.downlink.firmware
    uptime_s = due[0] - _AFTER_S
    if order.read(board.data_directory) or slots.is_on_trial(_directory(board)):
        due[0] = uptime_s + _BUSY_S
        return
    if due[1] is None:
        due[1] = uptime_s
    store, wanted = board.store, firmware.kept(board.store)
    before, last = store.get(order.STORED), order.last(store)
    found = rollout.NOTHING, None, 0
    if wanted and not rollout.problem(wanted):  # else another version has kept it
        found = _decided(app, wanted, uptime_s, last)
    due[0] = uptime_s + min(found[2] or _LOOK_S, _LOOK_S)
    if found[0] == rollout.GO:
        _go(app, wanted, last)
    else:
        _say(app, wanted, last, found)
    if store.get(order.STORED) != before:
        _report(app)


def take_back(store, version):
    """A person goes back from this version: no configuration brings it again."""
    wanted = firmware.kept(store)
    if wanted and wanted["version"] == version:
        number = rollout.number_of(wanted)
        order.keep_last(store, number, version, 1, "rolled_back")


def _decided(app, wanted, uptime_s, last):
    board, device_id = app.board, app.settings.device_id
    since_s = uptime_s - app.downlink.firmware[1], uptime_s
    found = rollout.decide(
        wanted, device_id, FIRMWARE_VERSION, _now_s(board), since_s, last
    )
    # A later configuration may take it back: one that the broker has kept comes first.
    is_early = not app.uplink.acked["status"] and uptime_s < _BIRTH_S
    if found[0] == rollout.GO and is_early:
        return rollout.WAIT, None, _EARLY_S
    return found


def _go(app, wanted, last):
    """Order it, and have the board reset."""
    from egiz_edge import update  # noqa: PLC0415  # large, and seldom needed

    board, store, version = app.board, app.board.store, wanted["version"]
    reason = update.refusal(board, wanted)
    if reason is not None:
        order.keep(store, "refused", version, reason)
        return
    times = last[2] + 1 if rollout.is_same(wanted, last) else 1
    order.keep_last(store, rollout.number_of(wanted), version, times, "given")
    order.give(_directory(board), board, wanted)
    app.log("update: the configuration wants %s; the updater boots now" % version)
    app.stop("updating")


def _say(app, wanted, last, found):
    """In the status, but for what it has already: how this order ended before."""
    verdict, words, _ = found
    store, is_asked = app.board.store, app.downlink.firmware[2]
    app.downlink.firmware[2] = False
    is_waiting = order.kept(store).get("state") == "waiting"
    if verdict == rollout.NOTHING:
        if is_waiting:  # it was taken back
            store.delete(order.STORED)
    elif verdict == rollout.REFUSE:
        if is_asked or is_waiting:
            order.keep(store, "refused", wanted["version"], words)
    elif not rollout.is_same(wanted, last):
        order.keep(store, "waiting", wanted["version"], words)


def _report(app):
    text = app.board.store.get(order.STORED)
    app.downlink.update = '"ota":' + text if text else None
    app.uplink.report_soon()


def _now_s(board):
    """Since 1970, UTC; None while the clock is not set."""
    return board.clock.now_ms() // 1000 if board.clock.is_synced() else None


def _directory(board):
    return board.data_directory[: -len("/data")]
