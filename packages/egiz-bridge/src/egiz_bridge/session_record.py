"""Which filters the broker's session has, kept for later runs.

A session outlives the bridge. What an earlier run subscribed to stays in it until it is
unsubscribed; and that there was a session is how its loss is noticed.
"""

from collections.abc import Sequence
from contextlib import suppress

import structlog

from egiz_bridge.config.tables import Mqtt
from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.spool.notes import Notes

_log = structlog.get_logger()


class SessionRecord:
    """The record; a spool that cannot be read is logged elsewhere, and nothing here."""

    def __init__(self, notes: Notes, ledger: Ledger) -> None:
        self._notes = notes
        self._ledger = ledger

    def obsolete_filters(self, mqtt: Mqtt, filters: Sequence[str]) -> tuple[str, ...]:
        """What the session has of an earlier run and none of `filters` is."""
        with suppress(Unavailable):
            known = (self._notes.read(_name(mqtt)) or "").split()
            return tuple(one for one in known if one not in filters)
        return ()

    def subscribed(
        self, mqtt: Mqtt, filters: Sequence[str], *, session_present: bool
    ) -> None:
        """Record the filters; log and count a session that the broker has lost."""
        with suppress(Unavailable):
            known = self._notes.read(_name(mqtt))
            if known is not None and not session_present:
                self._ledger.session_is_lost()
                _log.warning(
                    "session lost at the broker: what it queued for the bridge"
                    " is lost (does the broker persist sessions?)",
                    broker=str(mqtt.url),
                )
            if known != (wanted := " ".join(filters)):
                self._notes.write(_name(mqtt), wanted)


def _name(mqtt: Mqtt) -> str:
    return f"filters of the session of {mqtt.client_id} at {mqtt.url}"
