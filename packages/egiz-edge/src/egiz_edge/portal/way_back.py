"""A portal of a board that has settings ends without new ones, and changes nothing."""

import asyncio
import time

ALONE_MS = 600000  # without a phone, or with one that does not ask for the page
RETRY_MS = 60000  # between two tries of the Wi-Fi


class WayBack:
    """Whether the app should run again.

    Args:
        session: the `Session`.
        settings: as they are stored.
        is_asked: whether a person has opened the portal, and not the loss of the Wi-Fi,
            which then is tried while no phone is there.
        log: called with each line that a person may want to read.
    """

    def __init__(self, session, settings, is_asked, log):
        self._session = session
        self._log = log
        self._ssid = settings.get("wifi_ssid")
        self._password = settings.get("wifi_password")
        self._is_asked = is_asked
        self._is_tried = not is_asked and self._ssid is not None
        self._seen = self._tried = time.ticks_ms()  # a phone, the Wi-Fi
        self._trying = None  # task
        self._is_back = False  # the Wi-Fi
        self._is_there = False  # a phone, at the last look

    def is_over(self):
        """Whether it is time; called each round, while the form is shown."""
        now = time.ticks_ms()
        is_there = self._session.access_point.clients() > 0
        # One that only stays in the network, as forgotten phones do, keeps no board.
        if is_there and (self._session.is_used or not self._is_there):
            self._seen, self._session.is_used = now, False
        self._is_there = is_there
        if time.ticks_diff(now, self._seen) > ALONE_MS:
            self._log("portal: not used for 10 minutes; the app runs again")
            if not self._is_asked:
                self._session.board.store.put("unused", "1")
            return True
        if is_there:
            return False
        if self._is_back:
            self._log("portal: the Wi-Fi is back; the app runs again")
            return True
        if self._is_tried and time.ticks_diff(now, self._tried) > RETRY_MS:
            self._tried = now
            self._trying = asyncio.create_task(self._try())
        return False

    def stop(self):
        """Leave the Wi-Fi to the trial of a form."""
        self._session.board.store.delete("unused")
        if self._trying is not None:
            self._trying.cancel()
            self._trying = None
        self._is_back = False

    async def _try(self):
        wifi = self._session.board.wifi
        wifi.configure(self._ssid, self._password)
        try:
            await wifi.connect()
            self._is_back = True
        except OSError as error:
            wifi.configure(None, None)  # a search would disturb its own network
            self._log("portal: %s; tried again in a minute" % error)
