"""What is lost, and what is there twice, when a peer is killed again and again."""

import time
from typing import NamedTuple

from bridge.drain import finished
from bridge.peers import ENDLESS, Peer
from bridge.shared import fresh_rig

_RATE = 2000
_KILLS = 5
_RUN_S = 2.5  # from one kill to the next
_STORED_TIMEOUT_S = 40.0


class Toll(NamedTuple):
    """Messages that the broker had acknowledged, and what became of them."""

    sent: int
    lost: int
    duplicated: int


def measure(peer: Peer) -> Toll:
    """SIGKILL and start again, under load, with one session."""
    with fresh_rig() as rig:
        finished(peer.start(rig, 0))  # from now on, the broker queues for it
        running = peer.start(rig, ENDLESS)
        load = rig.load(_RATE, _KILLS * _RUN_S)
        for _ in range(_KILLS):
            time.sleep(_RUN_S)
            running.process.kill()
            running.process.wait()
            running = peer.start(rig, ENDLESS)
        output, _ = load.communicate()
        sent = int(output)
        found = rig.stored_at_last(sent, _STORED_TIMEOUT_S)
        running.process.kill()
        running.process.wait()
    return Toll(sent, max(0, sent - found), max(0, found - sent))
