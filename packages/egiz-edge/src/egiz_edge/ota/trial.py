"""The first boot of a version on trial: it proves that it can update again.

With its own code and keys, in a boot without the app, as the next update will run: what
could not update again is not kept.
"""

import asyncio

from egiz_edge import slots
from egiz_edge.ota import order
from egiz_edge.ota.fetch import AnswerError
from egiz_edge.ota.release import Release
from egiz_edge.ota.source import (
    attempt,
    board_of,
    download_of,
    read_keys,
    release_of,
)
from egiz_edge.safe_mode import provisioned

LIMIT_MS = 120000  # for a server that was there a moment ago
_CHUNK = 512


def main(directory, wanted):
    """Fetch and verify the head of the own release; gives the cause of the next reset.

    Then the app has all tries of a trial, or none.
    """
    board = board_of(directory)
    run, trial, _, word = slots.read(directory)
    try:
        settings = provisioned(directory)
        proving = lambda: _prove(board, directory, release_of(wanted), settings)  # noqa: E731
        security = asyncio.run(attempt(board, settings, proving, LIMIT_MS))
    except (OSError, ValueError) as error:
        slots.write(directory, run, trial, 0, word)  # the selector rolls it back
        return "cannot update again: %s" % error
    wanted["proven"] = str(security)
    order.write(board.data_directory, wanted)
    slots.write(directory, run, trial, slots.TRIES, word)
    return "reboot: update"


async def _prove(board, directory, url, settings):
    """The security number of the own release, once a server has the same head."""
    with open("%s/%s/release" % (directory, slots.running()), "rb") as own:
        release = Release(own, read_keys(directory, board.store))
        own.seek(0)
        download = download_of(board, url, settings)
        try:
            await download.open(url)
            while download.at < release.start:
                most = min(_CHUNK, release.start - download.at)
                piece = bytes(await download.read(most))
                if not piece or own.read(len(piece)) != piece:
                    raise AnswerError("its release is another one now")
        finally:
            await download.close()
    return release.security
