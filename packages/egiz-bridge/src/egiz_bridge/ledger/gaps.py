"""Numbers that were skipped, as ranges: a long gap costs as little as a short one."""

from array import array
from bisect import bisect_right

# Of one boot of one device: with all devices that are counted, 160 MB at most. What
# was missed before that can come late and will count as a repeat.
RANGES_MAX = 64


class Gaps:
    """Numbers, each of which may be removed; the lowest ranges are forgotten first."""

    __slots__ = ("_bounds",)

    def __init__(self) -> None:
        # Begin and end of each range, in rising order.
        self._bounds = array("q")

    def add(self, first: int, end: int) -> None:
        """Add the numbers from `first` up to `end`; all are above those before."""
        if first < end:
            self._bounds.extend((first, end))
            self._forget_lowest()

    def remove(self, number: int) -> bool:
        """Remove a number; gives whether it was there."""
        bounds = self._bounds
        at = bisect_right(bounds, number)
        if at % 2 == 0:  # behind an end, or before all
            return False
        begins, ends = bounds[at - 1] == number, bounds[at] == number + 1
        if begins and ends:
            del bounds[at - 1 : at + 1]
        elif begins:
            bounds[at - 1] += 1
        elif ends:
            bounds[at] -= 1
        else:
            bounds[at:at] = array("q", (number, number + 1))
            self._forget_lowest()
        return True

    def _forget_lowest(self) -> None:
        if len(self._bounds) > 2 * RANGES_MAX:
            del self._bounds[:2]
