"""Digital inputs, debounced."""

import asyncio

from _bus import Pin
from egiz_edge.drivers import SensorError
from egiz_edge.drivers.inputs import OperationalState


def _state(**contacts):
    pins = [(name, Pin(*contacts[name])) for name in sorted(contacts)]
    return asyncio.run(OperationalState(pins).read())


def test_each_pair_of_levels_is_a_state_and_the_first_closed_one_decides():
    assert _state(running=[1], fault=[0]) == "running"
    assert _state(running=[0], fault=[0]) == "stopped"
    assert _state(running=[0], fault=[1]) == "fault"
    assert _state(running=[1], fault=[1]) == "fault"


def test_states_are_an_open_set():
    assert _state(cleaning=[1], fault=[0], running=[1]) == "cleaning"
    assert _state() == "stopped"


def test_a_bouncing_contact_is_waited_out():
    assert _state(running=[0, 1, 0, 1, 1, 0, 0, 0], fault=[0]) == "stopped"
    assert _state(running=[1], fault=[0, 1, 0, 1, 1, 1]) == "fault"


def test_a_contact_that_never_stops_bouncing_is_no_state_and_ends():
    fault = None
    try:
        _state(running=[0, 1] * 100, fault=[0])
    except SensorError as error:
        fault = error.args[0]
    assert fault == "bouncing"
