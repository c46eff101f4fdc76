"""Updates as a light device plays them: nothing is fetched, but the states are real.

How an update ends is a property of the device, or of the release: a URL that ends in
``#crash_loop`` or another outcome is such a release for every device.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, get_args
from zlib import crc32

from egiz_schema import Ota

from egiz_sim.shifts import Shifts

Outcome = Literal["good", "crash_loop", "silent", "slow", "refuses"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_TRIES = 3  # starts of a release that crashes, before the device goes back
_SLOW = 10  # times as long
_WINDOW_POLL_S = 30.0


class Timing(NamedTuple):
    """Seconds that an update takes; a plant's devices need minutes.

    Attributes:
        jitter_s: at most, before it begins: not all devices fetch at once.
        download_s: while the device is away.
        start_s: of a restart.
        crash_s: from a birth to the crash of a release that crashes.
        trial_s: from the first start of a release until it is kept, or not.
    """

    jitter_s: float = 5.0
    download_s: float = 8.0
    start_s: float = 1.0
    crash_s: float = 1.0
    trial_s: float = 10.0


class Host(Protocol):
    """The device, as far as an update needs it."""

    @property
    def device_id(self) -> str:
        """Its id."""

    def report(self, state: str = "online") -> None:
        """Publish a status."""

    async def leave(self, *, is_orderly: bool) -> None:
        """End the connection; in disorder, the last will follows."""

    def start(self, cause: str) -> None:
        """Start again, and connect."""


class Updater:
    """Obeys `config.firmware` and the command ``ota``.

    Args:
        host: the device.
        version: what it runs at first.
        outcome: how its updates end.
        timing: how long they take.
        sleep: waits so many seconds.
        now_s: the time of the device, since 1970.

    Attributes:
        version: what it runs.
        ota: how far the last update is; None before the first.
        is_busy: whether one is on its way.
    """

    def __init__(  # each is another side of an update
        self,
        host: Host,
        version: str,
        outcome: Outcome,
        timing: Timing,
        sleep: Callable[[float], Awaitable[None]],
        now_s: Callable[[], float],
    ) -> None:
        self._host = host
        self._outcome = outcome
        self._timing = timing
        self._sleep = sleep
        self._now_s = now_s
        self._before: str | None = None  # the version before this one
        self._failed: set[str] = set()
        self._wanted: Mapping[str, Any] | None = None
        self.version = version
        self.ota: Ota | None = None
        self.is_busy = False

    def wants(self, firmware: Mapping[str, Any] | None) -> bool:
        """Note what a config or command asks for; gives whether `play` has to run.

        Without firmware, what has not begun is given up. A release that is on its way
        is not interrupted: what was wanted meanwhile comes next.
        """
        self._wanted = firmware if firmware and self._is_chosen(firmware) else None
        return self._wanted is not None and not self.is_busy and not self._is_known()

    async def play(self) -> None:
        """Update to what is wanted, until nothing else is."""
        self.is_busy = True
        try:
            while self._wanted is not None and not self._is_known():
                await self._update(self._wanted)
        finally:
            self.is_busy = False

    async def go_back(self) -> None:
        """Return to the version before this one; see `can_go_back`."""
        assert self._before is not None
        self._failed.add(self.version)
        rolled_back = self.version
        await self._host.leave(is_orderly=True)
        await self._sleep(self._timing.start_s)
        self.version, self._before = self._before, None
        self.ota = Ota(state="rolled_back", version=rolled_back, error="command")
        self._host.start("rollback")

    @property
    def can_go_back(self) -> bool:
        """Whether there is another version, and no update on its way."""
        return self._before is not None and not self.is_busy

    def _is_chosen(self, firmware: Mapping[str, Any]) -> bool:
        """Whether this device is among the percent; for each version, others are."""
        percent = firmware.get("percent")
        return percent is None or self._draw(firmware) < percent

    def _draw(self, firmware: Mapping[str, Any]) -> int:
        text = f"{self._host.device_id}:{firmware['version']}"
        return crc32(text.encode()) % 100

    def _is_known(self) -> bool:
        """Whether the wanted version runs already, or has failed or been refused."""
        assert self._wanted is not None
        version = self._wanted["version"]
        return version == self.version or version in self._failed

    async def _update(self, wanted: Mapping[str, Any]) -> None:
        version, outcome = wanted["version"], self._outcome_of(wanted["url"])
        if not await self._wait(wanted):
            return
        if outcome == "refuses":
            self._failed.add(version)
            self._say(Ota(state="refused", version=version, error="wrong signature"))
            return
        self._say(Ota(state="updating", version=version, progress=0), "updating")
        await self._host.leave(is_orderly=True)
        await self._sleep(self._timing.download_s * (_SLOW if outcome == "slow" else 1))
        error = await self._try(version, outcome)
        if error is None:
            self._say(Ota(state="done", version=version))
            return
        self._failed.add(version)
        self.ota = Ota(state="rolled_back", version=version, error=error)
        self._host.start("rollback")

    async def _wait(self, wanted: Mapping[str, Any]) -> bool:
        """Until it may begin; gives whether it is still wanted then."""
        self._say(Ota(state="waiting", version=wanted["version"]))
        await self._sleep(self._timing.jitter_s * self._draw(wanted) / 100)
        window = wanted.get("window")
        while window and self._wanted == wanted:
            if Shifts.parse(f"mon-sun {window}").is_on(self._now_s()):
                break
            await self._sleep(_WINDOW_POLL_S)
        if self._wanted == wanted:
            return True
        self.ota = None
        self._host.report()
        return False

    async def _try(self, version: str, outcome: Outcome) -> str | None:
        """Run a new version; gives why the device went back, or None."""
        old, self.version = self.version, version
        self.ota = Ota(state="trial", version=version)
        error = None
        if outcome == "crash_loop":
            error = await self._crash()
        elif outcome == "silent":
            await self._sleep(self._timing.start_s + self._timing.trial_s)
            error = "no broker"
        else:
            await self._sleep(self._timing.start_s)
            self._host.start("update")
            await self._sleep(self._timing.trial_s)
        if error is None:
            self._before = old
        else:
            self.version = old
        return error

    async def _crash(self) -> str:
        for _ in range(_TRIES):
            await self._sleep(self._timing.start_s)
            self._host.start("update")
            await self._sleep(self._timing.crash_s)
            await self._host.leave(is_orderly=False)
        await self._sleep(self._timing.start_s)
        return "crash: MemoryError"

    def _outcome_of(self, url: str) -> Outcome:
        _, _, fragment = url.partition("#")
        found = [outcome for outcome in OUTCOMES if outcome == fragment]
        return found[0] if found else self._outcome

    def _say(self, ota: Ota, state: str = "online") -> None:
        self.ota = ota
        self._host.report(state)
