"""Which filters the broker's session has, kept for later runs.

A session outlives the bridge. What an earlier run subscribed to stays in it until it is
unsubscribed; and that there was a session is how its loss is noticed.
"""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from egiz_schema import BrokerUrl

from egiz_bridge.config.tables import Mqtt
from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.spool.notes import Notes, session_note

_log = structlog.get_logger()


class SessionRecord:
    """The record; a spool that cannot be read is logged elsewhere, and nothing here."""

    def __init__(self, notes: Notes, ledger: Ledger) -> None:
        self._notes = notes
        self._ledger = ledger

    def obsolete_filters(self, mqtt: Mqtt, filters: Sequence[str]) -> tuple[str, ...]:
        """What the session has of an earlier run and none of `filters` is.

        The addresses may be nodes of a cluster, which has one session.
        """
        known: dict[str, None] = {}
        with suppress(Unavailable):
            for url in mqtt.url:
                known |= dict.fromkeys(
                    (self._notes.read(_name(mqtt, url)) or "").split()
                )
        return tuple(one for one in known if one not in filters)

    def subscribed(
        self,
        mqtt: Mqtt,
        url: BrokerUrl,
        filters: Sequence[str],
        *,
        session_present: bool,
    ) -> None:
        """Record the filters; log and count a session that the broker has lost."""
        name = _name(mqtt, url)
        with suppress(Unavailable):
            known = self._notes.read(name)
            if known is not None and not session_present:
                self._ledger.session_is_lost()
                _log.warning(
                    "session lost at the broker: what it queued for the bridge"
                    " is lost (does the broker persist sessions?)",
                    broker=str(url),
                )
            if known != (wanted := " ".join(filters)):
                self._notes.write(name, wanted)


def _name(mqtt: Mqtt, url: BrokerUrl) -> str:
    return session_note(mqtt.client_id, str(url))
