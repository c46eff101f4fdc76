"""What broker and bridge count themselves: $SYS and /metrics, by a load."""

import asyncio
import re
import urllib.error
from collections.abc import Mapping
from http.client import HTTPException

from egiz_sim.broker import Broker
from egiz_sim.direct import OPENER
from egiz_sim.load import link

_TIMEOUT_S = 5.0
_SAMPLE = re.compile(r"^egiz_bridge_(\w+?)(?:_total)?(?:\{[^}]*\})? ([0-9.e+-]+)$")
_NAMES = {
    "messages_received": "received",
    "messages_acknowledged": "acknowledged",
    "messages_rejected": "rejected",
    "messages_redelivered": "redelivered",
}


class MetricsError(Exception):
    """The bridge's metrics cannot be read; the message says why."""


class BridgeCounters:
    """Counters of the bridge, as differences.

    Args:
        url: of its HTTP server, as http://127.0.0.1:8080.
        names: of metrics, and what they are called here; those of a load.
    """

    def __init__(self, url: str, names: Mapping[str, str] = _NAMES) -> None:
        self._names = names
        self._url = url.rstrip("/").removesuffix("/metrics")
        self._before: dict[str, int] = {}

    async def begin(self) -> None:
        """Note where they stand.

        Raises:
            MetricsError: if it does not answer.
        """
        self._before = await self.now()

    async def end(self) -> dict[str, int]:
        """By how much each has grown since; a restarted bridge began at 0."""
        after = await self.now()
        has_restarted = any(after[name] < self._before[name] for name in after)
        before = dict.fromkeys(after, 0) if has_restarted else self._before
        return {name: count - before[name] for name, count in after.items()}

    async def now(self) -> dict[str, int]:
        """Where they stand; raises MetricsError."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, int]:
        try:
            url = f"{self._url}/metrics"
            with OPENER.open(url, timeout=_TIMEOUT_S) as answer:
                text = answer.read().decode()
            return counters(text, self._names)
        except (OSError, ValueError, OverflowError, HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = f"--bridge {self._url}: its metrics cannot be read: {error}"
            raise MetricsError(reason) from None


def counters(text: str, names: Mapping[str, str]) -> dict[str, int]:
    """Those that are wanted, each the sum over its labels."""
    found = dict.fromkeys(names.values(), 0)
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample and (name := names.get(sample[1])):
            found[name] += int(float(sample[2]))
    return found


_SYS = {
    "$SYS/broker/publish/messages/dropped": "dropped",
    "$SYS/broker/messages/received": "received",
    "$SYS/broker/messages/sent": "sent",
}
_SYS_HEAP = "$SYS/broker/heap/current"
_SYS_WAIT_S = 0.5
_SYS_DIGITS = 20


class BrokerCounters:
    """Mosquitto's $SYS, as differences; as old as its `sys_interval` allows (10 s).

    Args:
        broker: to subscribe to.
        client_id: with which its access list lets it read $SYS.
    """

    def __init__(self, broker: Broker, client_id: str) -> None:
        self._broker = broker
        self._client_id = client_id
        self._before: dict[str, int] = {}

    async def begin(self) -> None:
        """Note where they stand."""
        self._before = await asyncio.to_thread(self._read)

    async def end(self) -> dict[str, int]:
        """By how much each has grown since, and the heap; empty without $SYS."""
        after = await asyncio.to_thread(self._read)
        has_restarted = any(
            after[name] < self._before.get(name, 0)
            for name in _SYS.values()
            if name in after
        )
        before = {} if has_restarted else self._before
        return {
            name: count - (0 if name == "heap_bytes" else before.get(name, 0))
            for name, count in after.items()
        }

    def _read(self) -> dict[str, int]:
        wanted = _SYS | {_SYS_HEAP: "heap_bytes"}
        try:
            found = link.retained(
                *(self._broker, self._client_id, "$SYS/broker/#"), wanted, _SYS_WAIT_S
            )
        except OSError:
            return {}  # an addition: the load has connections of its own
        return {
            name: int(found[topic])
            for topic, name in wanted.items()
            if found.get(topic, b"").isdigit() and len(found[topic]) <= _SYS_DIGITS
        }
