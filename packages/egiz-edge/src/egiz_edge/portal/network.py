"""Whether a running board opens its own network; in memory only until that is known.

The button is held, or the Wi-Fi is away for long: `App` then looks twice a second.
"""

import sys

from egiz_edge import unload

_OWN = ("network", "button", "ordered", "fallback", "label")


def check(app, watch, away_ms):
    """What to give to the next call; None where none is needed soon.

    Args:
        app: the `App`.
        watch: what the last call has given.
        away_ms: since when there is no Wi-Fi; 0 for the first minute of that.
    """
    watch = watch or _Watch(app)
    if watch.is_needed(away_ms):
        return watch
    _unload()
    return None


class _Watch:
    def __init__(self, app):
        self._app = app
        self._button = self._fallback = None

    def is_needed(self, away_ms):
        """Look at both: whether the button is held, or the Wi-Fi away."""
        is_held = self._look_at_button()
        return self._look_at_wifi(away_ms) or is_held

    def _look_at_button(self):
        pin = self._app.board.pins["button"]
        if self._button is None:
            if not pin.value():
                return False
            from egiz_edge.portal.button import Button  # noqa: PLC0415  # not for the Wi-Fi

            self._button = Button(pin, self._app.log)
        what = self._button.look()
        if what is not None:
            self._leave(what)
        return self._button.is_held

    def _leave(self, what):
        from egiz_edge.portal import ordered  # noqa: PLC0415  # as above

        cause = ordered.accept(self._app.board, what, "button")
        if cause is None:
            self._app.log("button: no label, so no portal: egiz-edge label")
        else:
            self._app.reset(cause)

    def _look_at_wifi(self, away_ms):
        if not away_ms:
            if self._fallback is not None:
                self._fallback.close()
                self._fallback = None
            return False
        if self._fallback is None:
            from egiz_edge.portal.fallback import Fallback  # noqa: PLC0415  # as above

            self._fallback = Fallback(self._app)
        if self._fallback.look(away_ms):
            return True
        self._fallback = None
        return False


def _unload():
    unload(*["portal." + name for name in _OWN])
    ports = sys.modules.get("egiz_edge.ports")
    for name in ("esp32_ap", "virtual_ap"):
        if hasattr(ports, name):
            delattr(ports, name)
    unload("portal", "ports.esp32_ap", "ports.virtual_ap")
