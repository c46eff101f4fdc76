"""What became of the last configuration message: in the store, and in the status.

Apart from desired_config.py, for which there may be no memory: what has just been
applied may have left little, or a message had no room at all.
"""

import json
from binascii import crc32

from egiz_edge.payloads import text

_KEY = "config"  # in the store
_NUMBER, _ERROR = (int, type(None)), (str, type(None))
_CHUNK = 256


def load(store):
    """Revision, CRC-32 of the message, error, and the revision that was refused.

    There is none yet, or it is damaged: the broker sends the message again.
    """
    try:
        rev, crc, error, refused_rev = json.loads(store.get(_KEY) or "")
    except (ValueError, TypeError):
        return 0, None, None, None
    numbers = type(rev) is int and type(crc) in _NUMBER
    if numbers and type(error) in _ERROR and type(refused_rev) in _NUMBER:
        return rev, crc, error, refused_rev
    return 0, None, None, None


def keep(store, outcome):
    """In flash."""
    store.put(_KEY, json.dumps(outcome))


def member(outcome, path, is_on_trial):
    """As JSON; None before the first message.

    Args:
        outcome: as of `load`.
        path: of the configuration in force.
        is_on_trial: whether the network has changed, and is not confirmed.
    """
    rev, crc, error, refused_rev = outcome
    if crc is None and error is None:
        return None
    shown = "on trial" if is_on_trial else error
    is_applied = "true" if shown is None else "false"
    members = ['"rev":%d,"applied":%s' % (rev, is_applied)]
    members += _number("crc", _crc_of(path))
    if shown is not None:
        members.append('"error":' + text(shown))
        if not is_on_trial:
            refused = ['"error":' + text(error)]
            refused += _number("rev", refused_rev) + _number("crc", crc)
            members.append('"refused":{%s}' % ",".join(refused))
    return '"config":{%s}' % ",".join(members)


def _number(name, value):
    return [] if value is None else ['"%s":%d' % (name, value)]


def _crc_of(path):
    """CRC-32 of the configuration in force, as it was received; None without one."""
    try:
        with open(path, "rb") as file:
            crc, part = 0, file.read(_CHUNK)
            while part:
                crc, part = crc32(part, crc), file.read(_CHUNK)
    except OSError:
        return None
    return crc
