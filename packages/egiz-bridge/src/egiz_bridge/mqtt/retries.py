"""Which address of the broker is tried next, and after what pause."""

import time
from collections.abc import Sequence

from egiz_schema import BrokerUrl

from egiz_bridge.backoff import Backoff
from egiz_bridge.errors import MqttError

# Up to 4 s: when the broker is back, half of all bridges are back within 1.2 s.
_BACKOFF = Backoff(first_s=0.25, doublings=4)
# Up to 16 s: a refusal lasts until someone changes a setting, and may lock an account.
_REFUSED_BACKOFF = Backoff(first_s=0.25, doublings=6)
# A second bridge with our client id would be disconnected by our next attempt.
_TAKEN_OVER_S = 5.0
_TAKEN_OVER_BACKOFF = Backoff(first_s=11.0, doublings=0)

# A connection that breaks sooner counts as one more failure: two bridges that use one
# client id must not reconnect at full speed.
STABLE_S = 10.0
# So many in a row that break sooner are the work of another client, or of a proxy.
_SHORT_ONES = 3


class Retries:
    """The attempts of one session, in the order of `mqtt.url`.

    Attributes:
        failures: rounds of all addresses without a connection that lasted.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._at = self._tried = self._short_ones = 0
        self._connected_at = 0.0

    def address(self, urls: Sequence[BrokerUrl]) -> BrokerUrl:
        """The address to try; after a loss, first that of the lost connection."""
        return urls[self._at % len(urls)]

    def connected(self) -> None:
        """It is subscribed."""
        self._tried = 0
        self._connected_at = time.monotonic()

    def lost(self, error: Exception) -> float:
        """The connection is over; gives the pause before the next attempt."""
        if time.monotonic() - self._connected_at > STABLE_S:
            self.failures = self._short_ones = 0
        else:
            self._short_ones += 1
        return self._failed(error)

    def refused(self, urls: Sequence[BrokerUrl], error: Exception) -> float:
        """No connection came about; gives the pause, none before another address."""
        self._short_ones = 0  # it was the broker that was away, not another client
        self._at = (self._at + 1) % len(urls)
        self._tried += 1
        if self._tried < len(urls):
            return 0.0
        self._tried = 0
        return self._failed(error)

    def is_logged(self) -> bool:
        """Whether the attempts of this round are logged: 0, 1, 2, 4, 8, ..."""
        return not self.failures & (self.failures - 1)

    def is_ended_by_another(self, error: Exception) -> bool:
        """Whether a second client with our client id is likely; 3.1.1 does not say."""
        is_takeover = isinstance(error, MqttError) and error.is_takeover
        return is_takeover or self._short_ones >= _SHORT_ONES

    def _failed(self, error: Exception) -> float:
        self.failures += 1
        if self.is_ended_by_another(error):
            return _TAKEN_OVER_S + _TAKEN_OVER_BACKOFF.pause_s(1)
        is_refusal = isinstance(error, MqttError) and error.is_refusal
        backoff = _REFUSED_BACKOFF if is_refusal else _BACKOFF
        return backoff.pause_s(self.failures)
