"""Which firmware the configuration wants: in the store, where few bytes are read.

In memory only for a config with one, and while desired_firmware.py looks at it. A list
says when: uptime of the next look; uptime since which the firmware is wanted, None
before the first look; and whether a message has just asked for it. The names that other
modules use are names which a board knows already: few are free.
"""

import json

from egiz_edge import unload

_KEY = "firmware"  # in the store
_MEMBERS = ("version", "url", "percent", "window", "keys")  # all of them are short


def check(config):
    """Raise ConfigError for one that cannot be obeyed."""
    from egiz_edge.effective_settings import ConfigError  # noqa: PLC0415  # as it is there
    from egiz_edge.ota import rollout  # noqa: PLC0415  # as above

    wanted = config["firmware"]
    reason = wanted and rollout.problem(wanted)
    unload("ota.rollout", "ota")
    if reason:
        raise ConfigError(reason)


def keep(store, config, is_asked):
    """Keep it, or that there is none any more; gives when to look, or ().

    Members of a newer contract are left out: they may be too long for the store.
    """
    wanted = config.get("firmware")
    if not wanted:
        if '"waiting"' in (store.get("ota") or ""):
            store.delete("ota")  # it has not begun, and does not
        store.delete(_KEY)
        return ()
    known = [name for name in _MEMBERS if wanted.get(name) is not None]
    text = json.dumps({name: wanted[name] for name in known})
    if store.get(_KEY) != text:
        store.put(_KEY, text)
    return [0, None, is_asked]


def process(app):
    """Look whether it may be brought now."""
    from egiz_edge import desired_firmware  # noqa: PLC0415  # not for a config

    try:
        desired_firmware.look(app)
    finally:
        unload("desired_firmware", "firmware", "update", "slots")
        unload("ota.order", "ota.rollout", "ota")


def kept(store):
    """As a configuration has it; None if none is wanted."""
    try:
        return json.loads(store.get(_KEY) or "null")
    except ValueError:
        return None
