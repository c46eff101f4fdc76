"""Power failures while a configuration is staged: the old one or the new one is there.

MicroPython only: CPython has no littlefs.
"""

import json
import sys

import _flash
from _board import Log, Store
from egiz_edge.desired_config import DesiredConfig
from egiz_edge.settings import Settings

GIVEN = {"facility": "factory", "device_id": "oven-001", "broker": "old"}
OLD = {"device_id": "oven-001", "rev": 1, "publish_rate_ms": 300}


def _receive(store, config):
    desired = DesiredConfig("/flash", store, Settings(GIVEN), Log())
    desired.receive(json.dumps(config).encode(), config, None)
    if desired.is_on_trial:
        desired.confirm()


def _boot(store):
    settings = Settings(GIVEN)
    DesiredConfig("/flash", store, settings, Log()).restore()
    return settings.publish_rate_ms, settings.host


def _cut_at(operation, new):
    """What a boot finds after the cut; None if the work was over before it."""
    flash = _flash.Flash(512, 32)
    _flash.mount(flash, is_new=True)
    store = Store()
    _boot(store)
    _receive(store, OLD)
    flash.until_cut = operation
    try:
        _receive(store, new)
    except OSError:
        pass  # the flash is dead
    _flash.unmount()
    if not flash.is_dead:
        return None
    _flash.mount(flash.revived())
    found = _boot(store)
    _flash.unmount()
    return found


def _all_cuts(new):
    found = set()
    operation = 1
    while True:
        state = _cut_at(operation, new)
        if state is None:
            return found, operation
        found.add(state)
        operation += 1


def test_old_or_new_at_every_cut():
    if sys.implementation.name != "micropython":
        return
    new = {"device_id": "oven-001", "rev": 2, "publish_rate_ms": 400, "zones": {}}
    found, cuts = _all_cuts(new)
    assert found == {(300, "old"), (400, "old")}
    assert cuts > 5


def test_old_or_new_at_every_cut_of_a_trial():
    if sys.implementation.name != "micropython":
        return
    new = {"device_id": "oven-001", "rev": 2, "mqtt_broker": "new"}
    found, cuts = _all_cuts(new)
    assert found == {(300, "old"), (5000, "new")}
    assert cuts > 5
