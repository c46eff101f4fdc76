"""The contract of the OpenEgiz ingestion layer: topics, payloads, limits, mapping.

>>> import egiz_schema
>>> str(egiz_schema.Topic("factory", "oven-001", "telemetry"))
'sensors/factory/oven-001/telemetry'
"""

from egiz_schema import influx, limits, line_protocol, topics
from egiz_schema.address import Kind, Topic, parse_topic, subscription
from egiz_schema.broker_url import BrokerUrl, parse_broker_url
from egiz_schema.codec import decode, decode_with_dropped, encode, unknown_fields
from egiz_schema.delivery import Delivery, delivery_of
from egiz_schema.errors import (
    DecodeError,
    EgizError,
    EncodeError,
    InvalidPayload,
    MalformedPayload,
    TopicError,
    explain,
)
from egiz_schema.field_units import units
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
from egiz_schema.publishing import (
    Publication,
    birth,
    last_will,
    new_command,
    next_config,
    publication,
    topic_of,
)
from egiz_schema.repair import Dropped
from egiz_schema.times import TimeFields, time_fields, time_of

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
    "Delivery",
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
    "Publication",
    "RefusedConfig",
    "Status",
    "Telemetry",
    "Thermal",
    "TimeFields",
    "Topic",
    "TopicError",
    "VoltagePhases",
    "__version__",
    "birth",
    "decode",
    "decode_with_dropped",
    "delivery_of",
    "encode",
    "explain",
    "influx",
    "last_will",
    "limits",
    "line_protocol",
    "new_command",
    "next_config",
    "parse_broker_url",
    "parse_topic",
    "publication",
    "subscription",
    "time_fields",
    "time_of",
    "topic_of",
    "topics",
    "units",
    "unknown_fields",
]
