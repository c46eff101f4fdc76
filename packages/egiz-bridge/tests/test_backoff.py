"""How long is waited: anything from the floor to a ceiling that doubles."""

from itertools import pairwise

import pytest
from egiz_bridge.backoff import FLOOR_S, Backoff


@pytest.mark.parametrize(
    ("failures", "ceiling_s"), [(1, 0.25), (2, 0.5), (3, 1), (7, 16), (1000, 16)]
)
def test_a_pause_is_drawn_from_all_between_the_floor_and_the_ceiling(
    failures, ceiling_s
):
    backoff = Backoff(first_s=0.25, doublings=6)
    pauses = sorted(backoff.pause_s(failures) for _ in range(4000))
    width_s = ceiling_s - FLOOR_S
    assert FLOOR_S <= pauses[0] < FLOOR_S + 0.01 * width_s
    assert ceiling_s - 0.01 * width_s < pauses[-1] <= ceiling_s
    # Nowhere a hole: bridges that fail together do not come back together.
    assert max(after - before for before, after in pairwise(pauses)) < 0.01 * width_s


def test_many_bridges_do_not_come_back_in_step():
    pauses = [Backoff(0.5, 6).pause_s(6) for _ in range(1000)]
    seconds = [sum(n <= pause < n + 1 for pause in pauses) for n in range(16)]
    assert max(seconds) < 3 * 1000 / 16
