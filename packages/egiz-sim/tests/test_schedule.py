"""When each device measures: exactly, and as its config says."""

from egiz_sim.schedule import Schedule


def _taken(schedule, count=10**6):
    found = []
    while len(found) < count and schedule.next_s() is not None:
        found.append(schedule.take())
    return found


def test_devices_alternate_and_nothing_is_due_at_the_end():
    taken = _taken(Schedule([0.1, 0.1, 0.1, 0.1], 1.0))
    assert [device for _, device in taken] == [0, 1, 2, 3] * 10
    assert [round(due_s, 9) for due_s, _ in taken] == [n / 40 for n in range(40)]


def test_periods_do_not_add_up_their_rounding_errors():
    taken = _taken(Schedule([0.1], None), 100_001)
    assert taken[-1][0] == 100_000 * 0.1


def test_a_change_replaces_the_period_of_one_device_from_now_on():
    schedule = Schedule([0.2, 0.2], 1.0)
    assert _taken(schedule, 2) == [(0.0, 0), (0.1, 1)]
    schedule.change(0, 0.5, 0.15)
    schedule.change(0, 0.25, 0.15)
    taken = _taken(schedule)
    assert [due_s for due_s, device in taken if device == 0] == [0.4, 0.65, 0.9]
    ones = [round(due_s, 9) for due_s, device in taken if device == 1]
    assert ones == [0.3, 0.5, 0.7, 0.9]
