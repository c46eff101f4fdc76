"""The operator of a scenario: sends orders, and sees what devices say of them."""

import json
from collections import Counter
from typing import Any

from egiz_schema import CommandResult, EgizError, Ota, Status, Topic, decode

from egiz_sim.broker import Broker
from egiz_sim.mqtt import Inbox, Outstanding, Publisher

CLIENT_ID = "egiz-sim-operator"


class Operator:
    """A client of its own: nothing that it does is known to the devices otherwise.

    Args:
        broker: where it connects.
        facility: whose devices it orders.

    Attributes:
        answers: how commands ended, by their ids.
        ota: the last that a device said of its update.
        wills: how often the last will of a device was published.
        states: the last that a device said of itself.
    """

    def __init__(self, broker: Broker, facility: str) -> None:
        self._facility = facility
        self._revision = 0
        self.answers: dict[str, CommandResult] = {}
        self.ota: dict[str, Ota] = {}
        self.wills: Counter[str] = Counter()
        self.states: dict[str, str | None] = {}
        self.publisher = Publisher(broker, CLIENT_ID, None, _nothing, _no_matter)
        topics = (f"sensors/{facility}/+/status",)
        self.publisher.inbox = Inbox(topics, self._receive)

    def send_command(
        self, device_id: str, command_id: str, action: str, args: dict[str, Any]
    ) -> None:
        """Send a command."""
        command = {"device_id": device_id, "id": command_id, "action": action}
        self._send(device_id, "command", command | ({"args": args} if args else {}))

    def send_config(self, device_id: str, config: dict[str, Any]) -> None:
        """Send a config, with the next revision; the broker keeps it."""
        self._revision += 1
        ours = {"device_id": device_id, "rev": self._revision}
        self._send(device_id, "config", config | ours)

    def _send(self, device_id: str, kind: Any, document: dict[str, Any]) -> None:
        topic = str(Topic(self._facility, device_id, kind))
        payload = json.dumps(document).encode()
        self.publisher.publish(topic, payload, retain=kind == "config")

    def _receive(self, topic: str, payload: bytes, is_retained: bool) -> None:
        try:
            status = decode(topic, payload)
        except EgizError:
            return  # of something else than a device of ours
        if not isinstance(status, Status):
            return
        if status.timestamp is None:  # nothing else has no time
            self.wills[status.device_id] += not is_retained
            return
        self.states[status.device_id] = status.state
        if status.last_command is not None and status.last_command.id:
            self.answers[status.last_command.id] = status.last_command
        if status.ota is not None:
            self.ota[status.device_id] = status.ota


def _nothing() -> None:
    """It has no birth."""


def _no_matter(message: Outstanding, latency_s: float) -> None:
    """Answers say more than PUBACKs."""
