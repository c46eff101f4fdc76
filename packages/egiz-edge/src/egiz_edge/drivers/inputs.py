"""Two digital inputs to one operational state."""

import asyncio

_STABLE = 3  # readings in a row
_EVERY_S = 0.005
_TRIES = 20  # a contact that bounces for longer than 0.1 s is taken as it is


class OperationalState:
    """`running` and `fault` are pins that read 1 when it is so."""

    def __init__(self, running, fault):
        self._running = running
        self._fault = fault

    async def read(self):
        """'fault', 'running' or 'stopped', debounced."""
        seen = None
        times = 0
        for _ in range(_TRIES):
            levels = (self._fault.value(), self._running.value())
            times = times + 1 if levels == seen else 1
            seen = levels
            if times == _STABLE:
                break
            await asyncio.sleep(_EVERY_S)
        if seen[0]:
            return "fault"
        return "running" if seen[1] else "stopped"
