"""Processing of what waits in the downlink, and what follows from it.

That is the report, and for another network the connection and its trial. In memory only
meanwhile. `app` is the `App`; of it are used downlink, board, settings, log, and by
`process` all of it.
"""

import asyncio
import gc
import json
import time
from binascii import crc32

from egiz_edge import discard, unload, unload_rules

_REPORT_S = 5  # for a result to arrive before a reboot
_STEP_S = 0.5
_TRIES = 3  # of a config; what else is under way needs memory too, for a moment
# Bytes of heap that a config needs, with words of 64 bits: for the modules, and
# for each byte of the message, for what it is when it is decoded.
_ROOM, _ROOM_PER_BYTE = 12288, 5


async def process(app):
    """End a trial that is over; else process one message, report it and apply it."""
    if app.is_trial_over():
        await _end_trial(app)
        return
    if not app.downlink.is_waiting:  # then it is a look at the firmware
        from egiz_edge import firmware  # noqa: PLC0415  # it unloads itself

        firmware.process(app)
        return
    settings = app.settings
    network = (settings.host, settings.port, settings.wifi_ssid)
    after = await handle_next(app)
    if network != (settings.host, settings.port, settings.wifi_ssid):
        await _move(app)
    else:
        await _report_now(app.uplink)
    app.outbox.capacity = settings.buffer_size
    if after:
        after()


async def handle_next(app):
    """Process a message; gives what to call after the report, or None."""
    try:
        if app.downlink.is_config_next:
            msg, app.downlink.newest = app.downlink.newest, None
            return await _handle_config(app, msg)
        return await _handle_command(app)
    finally:  # also after an error: they would fill the memory
        _unload_all(app)
        stored(app)


def with_config(app, do):
    """Call `do` with the `DesiredConfig`, and keep what the status has of it."""
    outcome = _with_config(app, do)
    _unload_all(app)  # what was applied may have left little memory
    _keep_member(app, outcome)


def _with_config(app, do):
    from egiz_edge.desired_config import DesiredConfig  # noqa: PLC0415  # see the module

    board = app.board
    config = DesiredConfig(board.data_directory, board.store, app.settings, app.log)
    do(config)
    app.downlink.is_on_trial = config.is_on_trial
    if config.firmware is not None:
        app.downlink.firmware = config.firmware
    return config.last()


def _keep_member(app, outcome):
    from egiz_edge import config_outcome  # noqa: PLC0415  # not kept, see unload

    downlink = app.downlink
    downlink.crc = outcome[1]
    downlink.config = config_outcome.member(
        outcome, app.board.data_directory + "/config.json", downlink.is_on_trial
    )
    unload("config_outcome")


def stored(app):
    """Keep what the status has of the last command and of the last update."""
    app.downlink.command = _stored(app, "last_command")
    app.downlink.update = _stored(app, "ota")


def _stored(app, name):
    """As JSON member of the status; a damaged one would damage it."""
    last = app.board.store.get(name)
    try:
        is_whole = type(json.loads(last or "0")) is dict
    except ValueError:
        is_whole = False
    return '"%s":%s' % (name, last) if is_whole else None


def join(app):
    """Join the Wi-Fi of the settings, if they name one."""
    settings = app.settings
    if settings.wifi_ssid is not None:
        app.board.wifi.configure(settings.wifi_ssid, settings.wifi_password)


async def _handle_config(app, msg):
    """One for which there is no memory is refused, and the device runs on."""
    error = MemoryError()
    if type(msg) is not int:  # else it is the CRC-32 of one that was too long
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_STEP_S)
            error = _problem(app, msg)
            if error is None:
                return
        msg = crc32(msg)
    _refuse(app, msg, error)


def _problem(app, msg):
    """Check and apply a config; gives what has kept it from that, or None."""
    if not _has_room(msg):
        return MemoryError()
    try:
        document, reason = _checked(app, msg)
        with_config(app, lambda config: config.receive(msg, document, reason))
    except Exception as error:  # no memory, or a module does not load
        return error
    finally:
        _unload_all(app)


def _has_room(msg):
    """Whether it is worth a try: one that fails may leave little memory for long."""
    gc.collect()
    needed = _ROOM + _ROOM_PER_BYTE * len(msg)
    return not hasattr(gc, "mem_free") or gc.mem_free() > needed


def _checked(app, msg):
    from egiz_edge import incoming  # noqa: PLC0415  # gone before it is applied

    try:
        return incoming.checked(msg, True, app.settings.device_id)
    finally:
        del incoming
        _unload_all(app)


def _refuse(app, crc, error):
    """Unless it is in force already: then only its report had no memory.

    What does not load now may do so when the message is sent again.
    """
    _unload_all(app)
    from egiz_edge import config_outcome  # noqa: PLC0415  # not kept, see unload

    store = app.board.store
    outcome = config_outcome.load(store)
    if outcome[1] != crc:
        crc = crc if type(error) is MemoryError else None
        outcome = (outcome[0], crc, _words(error), None)
        config_outcome.keep(store, outcome)
        app.log("config %d: %s" % (outcome[0], outcome[2]))
    del config_outcome
    _keep_member(app, outcome)


def _words(error):
    return "no memory for it" if type(error) is MemoryError else repr(error)


def _unload_all(app):
    if app.settings.alerts is None:  # of a try that failed, or of a config before
        discard("alerts")
    unload("incoming", "commands", "actions", "config_outcome", "firmware")
    discard("desired_config", "effective_settings")
    unload_rules()


async def _handle_command(app):
    from egiz_edge import incoming  # noqa: PLC0415  # not for a trial

    commands = incoming.commands(app, app.board, app.log)
    if not app.downlink.commands:
        commands.refuse(app.downlink.refused.pop(0), "busy")
        return None
    msg, retain = app.downlink.commands.pop(0)
    try:
        document, reason = incoming.checked(msg, False, app.settings.device_id)
    except Exception as error:  # else no one would know what became of it
        document, reason = {"id": incoming.id_of(msg)}, _words(error)
    unload_rules()
    return await commands.receive(document, reason, retain)


async def _end_trial(app):
    """Confirm a network that leads to the broker; revert one that does not."""
    if app.is_broker_reached():
        with_config(app, lambda config: config.confirm())
        app.uplink.report_soon()
    else:
        with_config(app, lambda config: config.revert())
        await _move(app)


async def _move(app):
    """Connect to the network and broker that the settings name now."""
    app.moved_ticks = time.ticks_ms()
    join(app)
    await app.uplink.reconnect()
    app.acked_before = app.uplink.acked[
        "status"
    ]  # later ones came over the new network


async def _report_now(uplink):
    """Publish the status, and wait for its PUBACK, but not for long."""
    acked, tries = uplink.acked["status"], int(_REPORT_S / _STEP_S)
    uplink.report_soon()
    while uplink.acked["status"] == acked and tries:
        tries -= 1
        await asyncio.sleep(_STEP_S)
