"""Which messages go to which sink: by kind and by facility."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from egiz_schema import Topic

from egiz_bridge.batch import Row
from egiz_bridge.sinks.sink import SinkTable


@dataclass(frozen=True, slots=True)
class Route:
    """What one sink wants; no facilities means all of them."""

    kinds: frozenset[str]
    facilities: frozenset[str]

    def wants(self, facility: str, kind: str) -> bool:
        """Whether such messages go to the sink."""
        is_near = not self.facilities or facility in self.facilities
        return is_near and kind in self.kinds

    def select(self, rows: Iterable[Row]) -> list[Row]:
        """Those rows that go to the sink."""
        selected = []
        for row in rows:
            _, facility, _, kind = row.message.topic.split("/")
            if self.wants(facility, kind):
                selected.append(row)
        return selected


def route_of(table: SinkTable) -> Route:
    """The route that a sink's table asks for."""
    return Route(frozenset(table.kinds), frozenset(table.facilities))


def reason_to_skip(routes: Collection[Route], topic: Topic) -> str | None:
    """Why no sink wants a message, if so."""
    if any(route.wants(topic.facility, topic.kind) for route in routes):
        return None
    if any(topic.kind in route.kinds for route in routes):
        return "facility_not_archived"
    return f"{topic.kind}_not_archived"
