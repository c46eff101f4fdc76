"""The parts of a device, put together; in memory only until that is done."""

import os

from egiz_edge import processing, unload
from egiz_edge.app import App
from egiz_edge.names import Names
from egiz_edge.outbox import Outbox
from egiz_edge.report import Report
from egiz_edge.timekeeping import Timekeeper
from egiz_edge.uplink import Uplink


def assembled(board, settings, reset_reason, is_plain):
    """The `App` with all its parts.

    Args:
        board: a port's `Board`.
        settings: `Settings`.
        reset_reason: what boot_loop.py has kept of the boot before.
        is_plain: whether to drop the configuration of the config topic, because the
            device crashed with it.
    """
    # First, so that a boot counts even if what follows crashes.
    report = Report(settings.device_id, board, reset_reason)
    app = App(board, settings, report, print)
    processing.with_config(app, lambda config: config.restore(is_plain))
    _take_over(board)
    _go_on_with_update(app)
    processing.stored(app)
    app.outbox = report.outbox = Outbox(
        board.data_directory + "/outbox", settings.buffer_size
    )
    names = Names(board.wifi, board.store, print)
    app.timekeeper = Timekeeper(board, settings.ntp, report.boot, names, print)
    app.uplink = _uplink(app, names)
    app.timekeeper.on_ready = app.uplink.report_soon
    app.uplink.set_last_will(report.last_will())
    processing.join(app)
    for name, reason in settings.unusable.items():
        print("settings.json: %s: %s; it is not used" % (name, reason))
    if settings.calibration:
        print("calibration: %s" % settings.calibration)
    return app


def _take_over(board):
    """The last command of safe mode, if it had one; the app runs without it as well."""
    data = board.data_directory
    try:
        if "safe_mode_answer" in os.listdir(data):
            from egiz_edge import safe_answers  # noqa: PLC0415  # few boots have one

            safe_answers.hand_over(data, board.store)
    except Exception as error:
        print("no word of safe mode's last command: %r" % error)
    unload("safe_answers")


def _go_on_with_update(app):
    try:
        os.stat(app.board.data_directory + "/ota")
    except OSError:
        return
    from egiz_edge import update  # noqa: PLC0415  # few devices have an order

    update.restore(app)


def _uplink(app, names):
    parts = (app.board.wifi, app.settings, app.outbox, app.timekeeper, names)
    uplink = Uplink(*parts, app.status, print)
    uplink.set_callback("config", app.downlink.put_config)
    uplink.set_callback("command", app.downlink.put_command)
    return uplink
