"""The board's own network while its Wi-Fi is away; the app samples and keeps on."""

from egiz_edge import boot_loop
from egiz_edge.portal import label
from egiz_edge.ticker import Backoff

_AFTER_S = 300  # unless the settings say otherwise
_UNUSED_S = 3600  # after a phone that asked for nothing: some join by themselves
_RETRY_MS = 60000  # a search for the Wi-Fi disturbs the own network


class Fallback:
    """Opens it after a time; a phone in it has the board reset into its portal.

    With a Wi-Fi that the board has never joined, it resets immediately: nothing of it
    is known to be right.

    Args:
        app: the `App`.
    """

    def __init__(self, app):
        self._app = app
        self._label = label.read(app.board.store)
        after_s = app.settings.given.get("ap_after")
        self._after_s = _AFTER_S if after_s is None else after_s
        if self._after_s and _was_unused(app.board):
            self._after_s = max(self._after_s, _UNUSED_S)
        self._point = None

    def look(self, away_ms):
        """Whether to look again soon.

        Args:
            away_ms: since when there is no Wi-Fi.
        """
        app = self._app
        if self._point is not None:
            if self._point.clients() > 0:
                self._leave("phone", "a phone is in the board's network")
            return True
        is_idle = self._label is None or not self._after_s
        if is_idle or app.downlink.is_on_trial:
            return False
        joined = app.settings.wifi_ssid or ""
        stored = app.board.store.get("joined")
        if stored is None or joined not in stored.split("\n"):
            self._leave("never joined", "the Wi-Fi %s was never joined" % joined)
        elif away_ms >= 1000 * self._after_s:
            return self._open()
        return True

    def _open(self):
        app = self._app
        point = app.board.access_point()
        try:
            point.start(self._label.ssid, self._label.key)
        except OSError as error:
            app.log("%s; tried again in %d s" % (error, self._after_s))
            return False
        self._point = point
        app.uplink.network = Backoff(_RETRY_MS, _RETRY_MS)
        app.log(
            "no Wi-Fi for %d s: a phone in %s opens the portal; sampling goes on"
            % (self._after_s, self._label.ssid)
        )
        return True

    def _leave(self, by, reason):
        self._app.log("%s: the portal opens" % reason)
        self._app.reset(boot_loop.PORTAL + by)

    def close(self):
        """The Wi-Fi is back."""
        self._app.board.store.delete("unused")
        if self._point is not None:
            self._point.stop()
            self._app.uplink.network = Backoff()
            self._app.log("the Wi-Fi is back: %s is closed" % self._label.ssid)


def _was_unused(board):
    """Whether the portal before was; with a power-on, a person is there again."""
    return board.store.get("unused") and board.reset_cause() != "power_on"
