"""What commands do. Each action is a coroutine function of the command's arguments."""

import asyncio

from egiz_edge import unload
from egiz_edge.commands import CommandError

_IDENTIFY_DEFAULT_S = 10


class Actions:
    """The actions of a device, whose arguments the contract has checked.

    Args:
        app: the `App`.
        board: a port's `Board`.
    """

    def __init__(self, app, board):
        self._app = app
        self._board = board
        self._light = None  # task that turns the LED off

    def all(self):
        """Action -> coroutine function."""
        return {
            "reboot": self._reboot,
            "identify": self._identify,
            "sample_now": self._sample_now,
            "reset_energy": self._reset_energy,
            "factory_reset": self._factory_reset,
            "ota": self._ota,
            "rollback": self._rollback,
            "portal": self._portal,
        }

    async def _reboot(self, _args):
        from egiz_edge import slots  # noqa: PLC0415  # seldom needed

        slots.restore(self._board.data_directory[: -len("/data")])
        return lambda: self._app.reset("reboot: command")

    async def _identify(self, args):
        """Light the LED for `seconds`."""
        seconds = args.get("seconds", _IDENTIFY_DEFAULT_S)
        if self._light is not None:
            self._light.cancel()
        self._board.identify(True)
        self._light = asyncio.create_task(self._darken(seconds))

    async def _darken(self, seconds):
        await asyncio.sleep(seconds)
        self._board.identify(False)

    async def _sample_now(self, _args):
        await self._app.sample_now()

    async def _reset_energy(self, _args):
        """Set the energy counters of all meters to zero."""
        async with self._app.bus:
            codes = await self._app.sensors().reset_energy()
        if codes:
            raise CommandError(" ".join(codes))

    async def _ota(self, args):
        """Update to a release, immediately."""
        return self._updating(args)

    async def _rollback(self, _args):
        """Have the version in the other slot run."""
        return self._updating(None)

    def _updating(self, wanted):
        try:
            from egiz_edge import update  # noqa: PLC0415  # large, and seldom needed

            device_id = self._app.settings.device_id
            reason = update.accept(self._board, device_id, wanted)
        finally:
            unload("update", "desired_firmware", "firmware")
            unload("ota.order", "ota.rollout", "ota", "slots")
        if reason is not None:
            raise CommandError(reason, "refused")
        return lambda: self._app.stop("updating")

    async def _factory_reset(self, _args):
        """Erase settings, configuration and what waits, and open the portal."""
        return self._leaving("factory_reset")

    async def _portal(self, _args):
        """Open the portal."""
        return self._leaving("portal")

    def _leaving(self, what):
        try:
            from egiz_edge.portal import ordered  # noqa: PLC0415  # seldom needed

            cause = ordered.accept(self._board, what, "command")
        finally:
            unload("portal.ordered", "portal.label", "portal", "slots")
        if cause is None:
            raise CommandError("no label", "refused")
        return lambda: self._app.reset(cause)
