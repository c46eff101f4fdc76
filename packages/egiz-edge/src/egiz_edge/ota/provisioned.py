"""What a board was given: network, authority, and the keys that must have signed.

In memory only at the start of an update, and where the keys are renewed.
"""

import os

from egiz_edge import unload
from egiz_edge.ota.fetch import AnswerError
from egiz_edge.ota.signed import Refused
from egiz_edge.ota.source import Keys, download_of

_SETTINGS = ("wifi_ssid", "wifi_password", "tls")
_CHUNK = 512
_KEYS_MAX = 8192  # bytes of a key set


def board_of(directory):
    """The `Board`, its watchdog fed: all of the updater's boots begin with it."""
    from egiz_edge import startup  # noqa: PLC0415  # not kept, nor are the next ones

    board = startup.board_in(directory)
    board.watchdog.feed()
    board.uart = board.onewire = board.spi = board.pins = None  # no sensor is read
    del startup
    unload("startup")
    return board


def settings_of(directory):
    """Network and TLS as safe mode has them, of which no more is loaded then."""
    from egiz_edge import safe_mode  # noqa: PLC0415  # as above

    settings = safe_mode.provisioned(directory)
    del safe_mode
    unload("safe_mode")
    return {name: settings.get(name) for name in _SETTINGS}


def read_keys(directory, store):
    """The `Keys` of a board; raises Refused without a set that its root has signed."""
    from egiz_edge.ota import keys  # noqa: PLC0415  # as above

    try:
        root = keys.modulus(store.get("root") or "")
    except ValueError:
        raise Refused("no key")
    try:
        with open(directory + "/keys", "rb") as file:
            found = keys.KeySet(file, root)
    except OSError:
        raise Refused("no key set")
    found = Keys(found.number, found.moduli)
    del keys
    unload("ota.keys", "ota")
    return found


async def newer_keys(board, directory, url, settings, least):
    """Fetch a key set of this number or a later one, and keep it; raises Refused."""
    path = directory + "/keys"
    download = download_of(board, settings)
    try:
        await download.open(url + "/keys")
        with open(path + ".new", "wb") as file:
            while piece := await download.read(_CHUNK):
                file.write(piece)
                if download.at > _KEYS_MAX:
                    raise Refused("key set: too long")
    except AnswerError as error:
        raise AnswerError("key set: %s" % error)
    finally:
        await download.close()
    _check_keys(path + ".new", board.store, least)
    os.rename(path + ".new", path)
    return read_keys(directory, board.store)


def _check_keys(path, store, least):
    from egiz_edge.ota import keys  # noqa: PLC0415  # as above

    with open(path, "rb") as file:
        keys.KeySet(file, keys.modulus(store.get("root")), least)
