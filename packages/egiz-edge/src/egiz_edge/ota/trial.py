"""The first boot of a version on trial: it proves that it can update again.

With its own code and keys, in a boot without the app, as the next update will run: what
could not update again is not kept.
"""

import asyncio
import sys

from egiz_edge import unload
from egiz_edge.ota.fetch import AnswerError
from egiz_edge.ota.source import attempt, download_of, release_of

LIMIT_MS = 120000  # for a server that was there a moment ago
_CHUNK = 512


def main(directory, wanted):
    """Fetch and verify the head of the own release; gives the cause of the next reset.

    Then the app has all tries of a trial, or none.
    """
    from egiz_edge.ota import provisioned  # noqa: PLC0415  # not kept

    board = provisioned.board_of(directory)
    reason = security = None
    try:
        settings = provisioned.settings_of(directory)
        keys = provisioned.read_keys(directory, board.store)
        del provisioned
        unload("ota.provisioned", "ota")
        own = directory + sys.path[0] + "/release"
        size, number = _verified(own, keys)
        url = release_of(wanted)
        proving = lambda: _prove(board, own, size, url, settings)  # noqa: E731
        asyncio.run(attempt(board, settings, proving, LIMIT_MS))
        security = number
    except (OSError, ValueError) as error:
        reason = "cannot update again: %s" % error
    _keep(directory, board.data_directory, wanted, security)
    return reason or "reboot: update"


def _keep(directory, data, wanted, security):
    """Give the app its tries; none without what was proven: it is rolled back then."""
    from egiz_edge import slots  # noqa: PLC0415  # at the end there is room for them
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    tries = 0
    if security is not None:
        wanted["proven"], tries = str(security), slots.TRIES
        order.write(data, wanted)
    run, trial, _, word = slots.read(directory)
    slots.write(directory, run, trial, tries, word)


def _verified(path, keys):
    """(bytes of the head, security number) of the own release, by its signature."""
    from egiz_edge.ota.release import Release  # noqa: PLC0415  # not kept

    with open(path, "rb") as file:
        release = Release(file, keys)
        found = release.start, release.security
    del release, Release
    unload("ota.release", "ota")
    return found


async def _prove(board, path, size, url, settings):
    """Returns once a server has the same head."""
    with open(path, "rb") as own:
        download = download_of(board, settings)
        try:
            await download.open(url)
            while download.at < size:
                piece = bytes(await download.read(min(_CHUNK, size - download.at)))
                if not piece or own.read(len(piece)) != piece:
                    raise AnswerError("its release is another one now")
        finally:
            await download.close()
