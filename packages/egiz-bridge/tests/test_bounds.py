"""The bounds that docs/operate/sizing.md states are those of the code."""

from egiz_bridge.mqtt import reader
from egiz_bridge.observe import server
from egiz_bridge.pipeline import dispatch, rejects, turn
from egiz_bridge.sinks import exchange, rewriting
from rig.servers import REPOSITORY


def _stated():
    """The second column of the table, by the first."""
    text = (REPOSITORY / "docs/operate/sizing.md").read_text()
    _, _, section = text.partition("## What the bridge keeps in memory")
    table, _, _ = section.partition("\n## ")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [bound for _, bound, _ in rows[1:]]


def test_the_stated_bounds_are_those_of_the_code():
    assert _stated() == [
        f"{dispatch.HELD_MAX:,}",
        f"{rejects.BYTES_MAX // 1024**2} MiB",
        f"{rejects.QOS0_BYTES_MAX // 1024**2} MiB",
        f"{exchange.ANSWER_MAX_BYTES // 1024} KiB, {exchange.ANSWER_S:.0f} s",
        f"{server.CONNECTIONS_MAX}, {server.DEADLINE_S:.0f} s each",
        f"{rewriting.BYTES_MAX // 1024**2} MiB",
        f"{reader.HEAD_BYTES // 1024} KiB",
        f"{turn.REQUESTS_MAX} requests, {turn.SECONDS_MAX:.0f} s",
    ]
