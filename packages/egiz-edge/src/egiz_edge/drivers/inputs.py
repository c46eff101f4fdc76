"""Digital inputs to one operational state.

Fault: `bouncing`, for longer than 0.1 s.
"""

import asyncio

from egiz_edge.drivers import SensorError

_STABLE = 3  # readings in a row
_EVERY_S = 0.005
_TRIES = 20


class OperationalState:
    """Contacts, each of which stands for a state.

    Args:
        contacts: pairs of a state and its pin. The first that is closed decides; where
            none is, the machine is stopped.
    """

    def __init__(self, contacts):
        self._contacts = contacts

    async def read(self):
        """The state, debounced; raises SensorError."""
        last = None
        times = 0
        for _ in range(_TRIES):
            state = self._now()
            times = times + 1 if state == last else 1
            last = state
            if times == _STABLE:
                return state
            await asyncio.sleep(_EVERY_S)
        raise SensorError("bouncing")

    def _now(self):
        for state, pin in self._contacts:
            if pin.value():
                return state
        return "stopped"
