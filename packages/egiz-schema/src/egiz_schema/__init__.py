"""The contract of the OpenEgiz ingestion layer: topics, payloads, limits, mapping.

>>> import egiz_schema
>>> str(egiz_schema.Topic("factory", "oven-001", "telemetry"))
'sensors/factory/oven-001/telemetry'
"""

from egiz_schema import influx, limits, line_protocol, topics
from egiz_schema.address import Kind, Topic, parse_topic
from egiz_schema.broker_url import BrokerUrl, parse_broker_url
from egiz_schema.codec import decode, decode_with_dropped, encode, unknown_fields
from egiz_schema.errors import (
    DecodeError,
    EgizError,
    EncodeError,
    InvalidPayload,
    MalformedPayload,
    TopicError,
    explain,
)
from egiz_schema.messages import (
    Alert,
    AppliedConfig,
    Channel,
    Command,
    CommandResult,
    Config,
    CurrentPhases,
    Electrical,
    EnergyPhases,
    Firmware,
    Health,
    Message,
    Ota,
    PowerPhases,
    RefusedConfig,
    Status,
    Telemetry,
    Thermal,
    VoltagePhases,
)
from egiz_schema.repair import Dropped

__version__ = "0.1.0"

__all__ = [
    "Alert",
    "AppliedConfig",
    "BrokerUrl",
    "Channel",
    "Command",
    "CommandResult",
    "Config",
    "CurrentPhases",
    "DecodeError",
    "Dropped",
    "EgizError",
    "Electrical",
    "EncodeError",
    "EnergyPhases",
    "Firmware",
    "Health",
    "InvalidPayload",
    "Kind",
    "MalformedPayload",
    "Message",
    "Ota",
    "PowerPhases",
    "RefusedConfig",
    "Status",
    "Telemetry",
    "Thermal",
    "Topic",
    "TopicError",
    "VoltagePhases",
    "__version__",
    "decode",
    "decode_with_dropped",
    "encode",
    "explain",
    "influx",
    "limits",
    "line_protocol",
    "parse_broker_url",
    "parse_topic",
    "topics",
    "unknown_fields",
]
