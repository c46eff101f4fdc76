"""Where the broker is, and as whom the bridge connects.

The files are read again for each connection, so that a password or a certificate that
was replaced is used with the next one.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from egiz_schema import BrokerUrl, topics

from egiz_bridge.config.secret import read_secret
from egiz_bridge.config.tables import Mqtt
from egiz_bridge.errors import ConfigError

# How long the broker queues for a bridge that is away: a long weekend.
SESSION_EXPIRY_S = 4 * 24 * 3600


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
    tls = _tls(mqtt) if url.scheme == "mqtts" else None
    filters = tuple(f"{topics.ROOT}/{name}/#" for name in mqtt.facilities)
    return Broker(
        url.host,
        url.port,
        mqtt.client_id,
        filters or (topics.WILDCARD,),
        credentials=credentials,
        tls=tls,
    )


def _tls(mqtt: Mqtt) -> ssl.SSLContext:
    # TLS 1.2 or later; the name of the host is checked.
    if mqtt.ca_file:
        with _translate_errors("mqtt.ca_file", mqtt.ca_file, "a CERTIFICATE in PEM"):
            context = ssl.create_default_context(cafile=mqtt.ca_file)
    else:
        context = ssl.create_default_context()
    if mqtt.certificate_file:
        wanted = "a CERTIFICATE in PEM with its PRIVATE KEY, here or in mqtt.key_file"
        with _translate_errors("mqtt.certificate_file", mqtt.certificate_file, wanted):
            context.load_cert_chain(mqtt.certificate_file, mqtt.key_file, _no_password)
    return context


@contextmanager
def _translate_errors(key: str, path: Path, wanted: str) -> Iterator[None]:
    """Turn an error of the library into a ConfigError that names key and file."""
    try:
        yield
    except ssl.SSLError:  # of a kind of OSError
        raise ConfigError([f"{key}: {path} is not {wanted}"]) from None
    except OSError as error:
        raise ConfigError([f"{key}: cannot read {path}: {error.strerror}"]) from None


def _no_password() -> str:
    # Instead of asking on the terminal, which a daemon has not.
    return ""
