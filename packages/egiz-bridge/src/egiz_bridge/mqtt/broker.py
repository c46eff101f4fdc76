"""Where the broker is, and as whom the bridge connects.

The files are read again for each connection, so that a password or a certificate that
was replaced is used with the next one.
"""

import ssl
from dataclasses import dataclass

from egiz_schema import BrokerUrl, topics

from egiz_bridge.config.secret import read_secret
from egiz_bridge.config.tables import Mqtt
from egiz_bridge.config.tls import TlsFiles
from egiz_bridge.mqtt import packets

# The broker keeps the session for a bridge that is away until somebody ends it. If it
# could expire, a reload of Mosquitto 2.0 while the bridge is away would enter it twice
# in the list of those that do, and the return of the bridge could crash the broker.
SESSION_EXPIRY_S = packets.NEVER_EXPIRES_S


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to connect, and as whom.

    Attributes:
        filters: what to subscribe to.
        obsolete_filters: what an earlier run was subscribed to, in the same session.
        session_expiry_s: how long the broker keeps the session; 0 ends it with the
            connection, and begins with a new one.
    """

    host: str
    port: int
    client_id: str
    filters: tuple[str, ...] = (topics.WILDCARD,)
    obsolete_filters: tuple[str, ...] = ()
    credentials: tuple[str, str | None] | None = None
    tls: ssl.SSLContext | None = None
    session_expiry_s: int = SESSION_EXPIRY_S

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def brokers_of(mqtt: Mqtt) -> list[Broker]:
    """One for each address of `mqtt.url`.

    Raises:
        ConfigError: as `broker_of`.
    """
    return [broker_of(mqtt, url) for url in mqtt.url]


def broker_of(mqtt: Mqtt, url: BrokerUrl) -> Broker:
    """Read the files that the settings name.

    Raises:
        ConfigError: one of them cannot be used.
    """
    password = read_secret("mqtt.password_file", mqtt.password_file)
    credentials = (mqtt.username, password) if mqtt.username else None
    files = TlsFiles("mqtt", mqtt.ca_file, mqtt.certificate_file, mqtt.key_file)
    tls = files.context() if url.scheme == "mqtts" else None
    filters = tuple(f"{topics.ROOT}/{name}/#" for name in mqtt.facilities)
    return Broker(
        url.host,
        url.port,
        mqtt.client_id,
        filters or (topics.WILDCARD,),
        credentials=credentials,
        tls=tls,
    )
