"""A broker as the user names it, and whether it accepts a device."""

import os
import secrets
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Self

import paho.mqtt.client as paho
from egiz_cli import explain_refusal
from egiz_schema import parse_broker_url
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from egiz_edge_tools.errors import BrokerError

PASSWORD_VARIABLE = "EGIZ_EDGE_MQTT_PASSWORD"  # noqa: S105  # its name, not its value
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to connect, and as which user."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """From mqtt://[user@]host[:port]; the password may be in the environment.

        Raises:
            ValueError: what is wrong with the URL.
        """
        parsed = parse_broker_url(url)
        if parsed.scheme != "mqtt":
            raise ValueError("must be mqtt://host:port (TLS is not supported yet)")
        password = os.environ.get(PASSWORD_VARIABLE, parsed.password)
        return cls(parsed.host, parsed.port, parsed.username, password)

    def probe(self, tls: ssl.SSLContext | None = None) -> None:
        """Log in as a device does, with MQTT 3.1.1, and out again.

        Raises:
            BrokerError: with the cause and the fix.
        """
        client = paho.Client(
            CallbackAPIVersion.VERSION2, f"egiz-doctor-{secrets.token_hex(4)}"
        )
        client.connect_timeout = _ANSWER_S
        client.username_pw_set(self.user, self.password)
        if tls is not None:
            client.tls_set_context(tls)
        answer: list[ReasonCode] = []
        is_over = threading.Event()

        def on_connect(*arguments: object) -> None:
            assert isinstance(arguments[3], ReasonCode)
            answer.append(arguments[3])
            is_over.set()

        client.on_connect = on_connect
        client.on_disconnect = lambda *_: is_over.set()
        # With TLS, paho looks for it in the certificate, too: without the root.
        host = self.host.removesuffix(".") if tls else self.host
        try:
            client.connect(host, self.port)
        except OSError as error:
            raise BrokerError(*self._unreachable(error)) from None
        client.loop_start()
        is_over.wait(_ANSWER_S)
        client.disconnect()
        client.loop_stop()
        self._check(answer[0] if answer else None)

    def _unreachable(self, error: OSError) -> tuple[str, str]:
        at = f"{self.host}:{self.port}"
        if isinstance(error, ssl.SSLError):
            return (
                f"no TLS with {at}: {error.reason or error}",
                "Is --ca the authority of that broker, and this its port for TLS?",
            )
        if isinstance(error, socket.gaierror):
            return (
                f"the name {self.host} cannot be resolved",
                "Check its spelling; the devices must be able to resolve it, too.",
            )
        if isinstance(error, ConnectionRefusedError):
            return (
                f"no program listens at {at}",
                "Does the broker run, and listen where devices can reach it? `ss -ltn`",
            )
        return (
            f"no way to {at}: {error.strerror or error}",
            "Is the address right? A firewall may be between.",
        )

    def _check(self, answer: ReasonCode | None) -> None:
        if answer is None:
            raise BrokerError(
                f"what listens at {self.host}:{self.port} does not answer in MQTT",
                "Is this the broker's port? One for TLS or websockets is silent, too.",
            )
        if answer.is_failure:
            account = f"user {self.user!r}" if self.user else "a client without a user"
            raise BrokerError(
                f"the broker refuses {account}: {explain_refusal(answer.value)}",
                f"mqtt://user@host, with the password in {PASSWORD_VARIABLE};"
                " `mosquitto_passwd` sets it on the broker.",
            )
