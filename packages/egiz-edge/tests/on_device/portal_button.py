"""What a press of the button orders, by how long it is held."""

from _board import Log
from egiz_edge.portal.button import Button


class Pin:
    level = 0

    def value(self):
        return self.level


def _orders(presses):
    """What presses of so many seconds order, and the lines of the console."""
    log, pin = Log(), Pin()
    pressed, found = Button(pin, log), []
    for held_s in presses:
        pin.level = 1
        for _ in range(2 * held_s + 1):
            assert pressed.look() is None  # what is held orders nothing yet
            assert pressed.is_held
        pin.level = 0
        found.append(pressed.look())
        assert not pressed.is_held
    return found, log.lines


def test_three_seconds_order_the_portal_and_ten_a_factory_reset():
    found, lines = _orders([2, 3, 9, 10, 59, 1])
    expected = [None, "portal", "portal", "factory_reset", "factory_reset", None]
    assert found == expected
    assert lines[0] == "button: release it now, and the portal opens"
    assert lines[3] == "button: release it now for a factory reset"


def test_one_that_is_tied_to_ground_orders_nothing_for_days():
    found, lines = _orders([60, 86400])
    assert found == [None, None]
    assert len(lines) == 6
