"""Where messages are stored: each sink is one module here, and one entry of the list.

Its table of settings opens it, and the sink itself is probed and written to. The
configuration, `run`, `check`, help and routes know no more than this list.
"""

from egiz_bridge.sinks.archive import ArchiveTable
from egiz_bridge.sinks.influxdb import InfluxdbTable
from egiz_bridge.sinks.line_protocol import LineProtocolTable
from egiz_bridge.sinks.sink import SinkTable

TABLES: list[type[SinkTable]] = [InfluxdbTable, LineProtocolTable, ArchiveTable]

# Written to if no sink is configured.
DEFAULT: type[SinkTable] = ArchiveTable
