"""What the two InfluxDB sinks share: the body of a write, and what an answer means."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from egiz_bridge.batch import Row
from egiz_bridge.errors import BridgeError, Rejected, Unavailable

TIMEOUT_S = 10.0
_RETRY_AFTER_MAX_S = 600.0
_DETAIL_MAX = 300  # characters of an answer that are worth a log line

# 400 and 422: some lines are bad; 413: too many at once. Everything else may pass:
# rights and databases can be granted, servers come back.
_REJECTIONS = frozenset({400, 413, 422})

_HINTS = {
    401: " (is influxdb.token_file right?)",
    403: " (may the token write to this bucket or database?)",
    404: " (does the bucket or database exist?)",
}


def to_body(rows: Sequence[Row]) -> bytes:
    """Line protocol, precision ms."""
    return b"\n".join([row.line for row in rows])


def failure(status: int, answer: str, retry_after: str | None) -> BridgeError:
    """What an answer other than 2xx means for the rows that were sent."""
    told = f"HTTP {status}{_HINTS.get(status, '')}: {answer.strip()[:_DETAIL_MAX]}"
    if status in _REJECTIONS:
        return Rejected(told)
    return Unavailable(told, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header (RFC 9110, 10.2.3): seconds, or a date."""
    if retry_after is None:
        return 0.0
    try:
        if retry_after.strip().isdigit():
            wanted = float(retry_after)
        else:
            wait = parsedate_to_datetime(retry_after) - datetime.now(UTC)
            wanted = wait.total_seconds()
    except ValueError:
        return 0.0
    return min(max(wanted, 0.0), _RETRY_AFTER_MAX_S)
