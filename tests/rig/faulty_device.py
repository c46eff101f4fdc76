"""A small device that keeps the contract, but for one fault that a test names.

It uses paho, so that nothing of the check under test reads its own packets.
"""

import json
import queue
import threading
import time
from typing import Any, Final
from zlib import crc32

import paho.mqtt.client as paho
from egiz_schema import orders
from paho.mqtt.enums import CallbackAPIVersion

_LATEST_S: Final = 4102444800  # that a time of the contract can be
_BUSY_S: Final = 0.2  # of the device that drops what comes meanwhile
_PAUSE_S: Final = 2.5  # of the one that is right and slow
_FIRST_BOOT: Final = 7
_DAY_S: Final = 86_400
_LATE_S: Final = 1.5  # of the one that is right and answers late


class FaultyDevice:
    """A device in two threads.

    Args:
        host: where it connects.
        port: as above.
        device_id: who it is.
        fault: what it does wrong, as the tests name it; "" for nothing, and more than
            one with " + " between them.
        interval_s: between two readings, until a config says otherwise.

    Attributes:
        config: what its status says of the config.
    """

    def __init__(
        self, host: str, port: int, device_id: str, fault: str, interval_s: float = 0.4
    ) -> None:
        self._address = (host, port)
        self._id = device_id
        self._fault = fault
        self._provisioned_s = self._interval_s = interval_s
        self._boot, self._seq, self._last_ms = _FIRST_BOOT, 0, 0
        self._births = 0
        self.config: dict[str, Any] | None = None
        self._crc: int | None = None
        self._result: dict[str, Any] | None = None
        self._ids: set[str] = set()
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._is_online = self._must_reboot = False
        self._end = threading.Event()
        self._inbox: queue.SimpleQueue[tuple[str, bytes, bool] | None] = (
            queue.SimpleQueue()
        )
        self._threads = [
            threading.Thread(target=self._measure),
            threading.Thread(target=self._work),
        ]
        self._client = self._connect()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End, as in a power cut."""
        self._end.set()
        self._inbox.put(None)
        for thread in self._threads:
            thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    # -- connection ---------------------------------------------------------------

    def _connect(self) -> paho.Client:
        name = "esp32-" + self._id if self._has("another client id") else self._id
        client = paho.Client(
            CallbackAPIVersion.VERSION2, name, manual_ack=self._has("no PUBACK")
        )
        client.reconnect_delay_set(1, 1)
        if not self._has("no last will"):
            is_retained = not self._has("will not retained")
            qos = 0 if self._has("will at QoS 0") else 1
            client.will_set(self._topic("status"), self._will(), qos, is_retained)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = lambda _client, _data, message: self._inbox.put(
            (message.topic, bytes(message.payload), message.retain)
        )
        client.connect_async(*self._address)
        client.loop_start()
        return client

    def _connected(self, client: paho.Client, *_: object) -> None:
        with self._lock:
            self._client = client
            if self._has("telemetry before birth"):
                self._send_telemetry(self._reading())
            self._send_status(is_birth=True)
            qos = 0 if self._has("subscribes at QoS 0") else 1
            client.subscribe(
                [(self._topic("config"), 1), (self._topic("command"), qos)]
            )
            self._is_online = True
            self._replay()

    def _disconnected(self, *_: object) -> None:
        with self._lock:
            self._is_online = False

    def _will(self) -> str:
        boot = 0 if self._has("will of another boot") else self._boot
        if self._has("will of the boot before"):
            boot = _FIRST_BOOT
        return json.dumps({"device_id": self._id, "state": "offline", "boot": boot})

    # -- telemetry ----------------------------------------------------------------

    def _measure(self) -> None:
        due = time.monotonic()
        while not self._end.is_set():
            with self._lock:
                reading = self._reading()
                if self._is_online:
                    self._send_telemetry(reading)
                elif not self._has("loses the outage"):
                    self._waiting.append(reading)
                interval_s = self._interval_s
            due = max(due + interval_s, time.monotonic())
            self._end.wait(due - time.monotonic())
            if self._must_reboot:
                self._reboot()

    def _reading(self) -> dict[str, Any]:
        name = "oven-999" if self._has("payload of another device") else self._id
        boot = self._boot + self._has("telemetry of another boot")
        zone: Any = "185.0" if self._has("a number as a text") else 185.0
        values = {"humidity": 41.5}
        if self._has("an undeclared channel") or self._has("repeats one channel"):
            values["noise"] = 55.0
        reading = {
            "device_id": name,
            **self._now(),
            "seq": self._seq,
            "boot": boot,
            "thermal": {"temperature_zones": [zone, 188.5]},
            "values": values,
        }
        self._seq += 2 if self._has("seq by two") else 1
        return reading

    def _send_telemetry(self, reading: dict[str, Any]) -> None:
        is_live = "buffered" not in reading
        retain = is_live and not self._has("telemetry not retained")
        retain |= not is_live and self._has("history retained")
        payload = self._payload(reading)
        self._client.publish(self._topic("telemetry"), payload, 1, retain)
        if self._has("a topic of its own"):
            self._client.publish(self._topic("debug"), b"here", 1)

    def _replay(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._has("newest first"):
            waiting.reverse()
        if self._has("pauses while it replays"):
            rest, waiting = waiting[1:], waiting[:1]
            threading.Timer(_PAUSE_S, self._send_buffered, [rest]).start()
        for _ in range(2 if self._has("replays twice") else 1):
            self._send_buffered(waiting)

    def _send_buffered(self, waiting: list[dict[str, Any]]) -> None:
        with self._lock:
            for reading in waiting:
                mark = {} if self._has("replays unmarked") else {"buffered": True}
                now = self._now() if self._has("time of sending") else {}
                self._send_telemetry({**reading, **now, **mark})

    def _now(self) -> dict[str, int]:
        wrong_s = 3600 if self._has("an hour behind") else 0
        self._last_ms = max(time.time_ns() // 10**6, self._last_ms + 1)
        seconds, ms = divmod(self._last_ms, 1000)
        if self._has("whole seconds"):
            return {"timestamp": seconds}
        return {"timestamp": seconds - wrong_s, "ms": ms}

    # -- status -------------------------------------------------------------------

    def _send_status(self, *, is_birth: bool = False) -> None:
        status: dict[str, Any] = {
            "device_id": self._id,
            "state": "online",
            "boot": self._boot,
            **self._now(),
            "schema": "1",
            "firmware_version": "1.0.0",
            "channels": {"humidity": {"quantity": "humidity"}},
            "config": self.config,
            "last_command": self._result,
        }
        self._births += is_birth
        if self._has("no schema") or (self._has("forgets") and self._births > 1):
            del status["schema"]
        if self._has("repeats one channel") and is_birth:
            status["channels"]["noise"] = {"quantity": "noise"}
        if self._has("whole seconds in statuses"):
            del status["ms"]
        if self._has("statuses of yesterday"):
            status["timestamp"] -= _DAY_S
        if self._has("answers without channels") and not is_birth:
            del status["channels"]
        payload = self._payload({k: v for k, v in status.items() if v is not None})
        qos = 0 if self._has("status at QoS 0") else 1
        retain = not self._has("status not retained")
        self._client.publish(self._topic("status"), payload, qos, retain)

    # -- orders -------------------------------------------------------------------

    def _work(self) -> None:
        while (item := self._inbox.get()) is not None:
            topic, payload, is_retained = item
            if not payload:
                continue
            try:
                document = json.loads(payload)
            except ValueError:
                document = None
            if topic == self._topic("config") and self._has("answers configs late"):
                self._end.wait(_LATE_S)
            with self._lock:
                if topic == self._topic("config"):
                    self._obey_config(document, payload)
                else:
                    self._obey_command(document, is_retained)

    def _obey_config(self, wanted: Any, payload: bytes) -> None:
        if self._has("ignores configs") or self._crc == crc32(payload):
            return
        if wanted is None and self._has("ignores a config that is no JSON"):
            return
        rev = wanted.get("rev", 0) if wanted else 0
        if self._has("compares revisions") and self.config == {
            **(self.config or {}),
            "rev": rev,
        }:
            return
        self._crc = crc32(payload)
        crc = (
            crc32(json.dumps(wanted).encode())
            if self._has("another crc")
            else self._crc
        )
        error = self._fault_of_config(wanted)
        if error is None or self._has("applies before it checks"):
            self._apply(wanted)
        if error is None:
            shown = 0 if self._has("reports no revision") else rev
            self.config = {"rev": shown, "crc": crc, "applied": True}
        elif self.config is None:
            self.config = {"rev": rev, "applied": False, "error": error}
        else:
            refused = {"rev": rev, "crc": crc, "error": error}
            self.config = {**self.config, "refused": refused}
            if self._has("reports what it refused as in force"):
                self.config |= {"rev": rev, "crc": crc}
        self._send_status()

    def _fault_of_config(self, wanted: Any) -> str | None:
        if wanted is not None and self._has("obeys configs of others"):
            wanted = {**wanted, "device_id": self._id}
        try:
            orders.check_config(wanted, self._id)
        except ValueError as error:
            is_range = error.args[0] == "range"
            if not (is_range and self._has("never refuses")):
                return str(error.args[1])
        if (
            self._has("refuses what it does not know")
            and "of_a_newer_contract" in wanted
        ):
            return "of_a_newer_contract: unknown"
        return None

    def _apply(self, wanted: Any) -> None:
        if not self._has("keeps its rate") and wanted:
            rate_ms = wanted.get("publish_rate_ms", self._provisioned_s * 1000)
            self._interval_s = rate_ms / 1000

    def _obey_command(self, order: Any, is_retained: bool) -> None:
        if self._has("ignores commands"):
            return
        if order is None and self._has("ignores a command that is no JSON"):
            return
        if self._has("drops what it has no room for"):
            time.sleep(_BUSY_S)
            while not self._inbox.empty():
                self._inbox.get()
        error = self._fault_of_command(order, is_retained)
        command_id = order["id"] if order else "?"
        self._ids.add(command_id)
        result = "refused" if error else "done"
        if self._has("says ok"):
            result = "ok" if result == "done" else result
        self._result = {"id": command_id, "result": result}
        if error and not self._has("refuses without a reason"):
            self._result["error"] = error
        self._send_status()
        if self._has("answers twice"):
            self._send_status()
        self._must_reboot = not error and order["action"] == "reboot"

    def _fault_of_command(self, order: Any, is_retained: bool) -> str | None:
        if order is None:
            return "no JSON"
        action: str = order["action"]
        reasons = {
            "commands of others": order["device_id"] != self._id,
            "retained commands": is_retained,
            "repeated commands": order["id"] in self._ids,
            "expired commands": order.get("expires_at", _LATEST_S) < time.time(),
            action: action not in {"identify", "reboot"},
            "arguments": bool(order.get("args")),
        }
        for reason, is_so in reasons.items():
            if is_so and not self._has(f"obeys {reason}"):
                return reason
        return None

    def _reboot(self) -> None:
        self._client.publish(self._topic("status"), self._will(), 1, retain=True)
        with self._lock:
            self._must_reboot = self._is_online = False
            self._boot += not self._has("counts no boots")
            self._seq = 0
        self._client.disconnect()
        self._client.loop_stop()
        self._client = self._connect()

    def _has(self, fault: str) -> bool:
        return fault in self._fault.split(" + ")

    def _payload(self, document: dict[str, Any]) -> str:
        if self._has("indents with tabs"):  # as cJSON_Print does
            return json.dumps(document, indent="\t", separators=(",", ":\t"))
        return json.dumps(document)

    def _topic(self, kind: str) -> str:
        return f"sensors/factory/{self._id}/{kind}"
