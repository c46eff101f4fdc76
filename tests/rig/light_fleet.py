"""Light devices of egiz-sim, in a thread of the tests."""

import asyncio
import threading
from typing import Any

from egiz_sim.broker import Broker
from egiz_sim.fleet import Fleet, Plan
from egiz_sim.updates import Timing

from rig.waiting import eventually

FAST = Timing(jitter_s=0.1, download_s=0.2, start_s=0.1, crash_s=0.1, trial_s=0.3)


class LightFleet:
    """A fleet that runs until it is stopped.

    Args:
        broker: anything with `host` and `port`.
        devices: how many.
        rate_hz: of each device.
        plan: other members of the plan.
    """

    def __init__(self, broker: Any, devices: int, rate_hz: float, **plan: Any) -> None:
        made = Plan(devices, rate_hz, None, 1, **{"timing": FAST} | plan)
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(Broker(broker.host, broker.port), made)
        )
        self._thread.start()
        eventually(lambda: self._loop is not None)
        self.fleet: Fleet

    def stop(self) -> Fleet:
        """End it as Ctrl-C does; gives the fleet with its counts."""
        assert self._loop is not None
        assert self._stop is not None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._error:
            raise self._error
        return self.fleet

    def _run(self, broker: Broker, plan: Plan) -> None:
        try:
            asyncio.run(self._main(broker, plan))
        except BaseException as error:  # noqa: BLE001  # raised where it is stopped
            self._error = error

    async def _main(self, broker: Broker, plan: Plan) -> None:
        self._stop = asyncio.Event()
        self.fleet = Fleet(broker, plan)
        self._loop = asyncio.get_running_loop()
        await self.fleet.run(self._stop)
