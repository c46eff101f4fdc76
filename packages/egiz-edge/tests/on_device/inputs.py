"""Two digital inputs, debounced."""

import asyncio

from egiz_edge.drivers.inputs import OperationalState


class _Pin:
    def __init__(self, *levels):
        self._levels = list(levels)

    def value(self):
        level = self._levels[0]
        if len(self._levels) > 1:
            self._levels.pop(0)
        return level


def _state(running, fault):
    return asyncio.run(OperationalState(_Pin(*running), _Pin(*fault)).read())


def test_each_pair_of_levels_is_a_state_and_fault_wins():
    assert _state([1], [0]) == "running"
    assert _state([0], [0]) == "stopped"
    assert _state([0], [1]) == "fault"
    assert _state([1], [1]) == "fault"


def test_a_bouncing_contact_is_waited_out():
    assert _state([0, 1, 0, 1, 1, 0, 0, 0], [0]) == "stopped"
    assert _state([1], [0, 1, 0, 1, 1, 1]) == "fault"


def test_a_contact_that_never_settles_does_not_hang_the_sampling():
    assert _state([0, 1] * 100, [0]) in ("running", "stopped")
