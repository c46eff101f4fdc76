"""Safe mode: what is left of a device whose app crashes at every boot.

It says on the status topic (retained) that it is in safe mode and why, and obeys one
command: `reboot`. It shares no code with the app that has just crashed, and only reads
what was provisioned: identity and credentials stay. The MQTT client is the stock
`umqtt.simple`, which waits without end for a broker that does not answer; the watchdog
ends that.
"""

import json
import time

_PORT = 1883
_ROUND_MS = 500
_PING_MS = 10000  # a keepalive is 30 s
_AGAIN_S = 5  # after a connection has failed or broken
_JOIN_MS = 20000
_APP_AGAIN_MS = 900000  # the cause may be gone by then
_OBEYED = "/safe_mode_id"  # a command that was obeyed: a kept one comes again


def run(directory, why):
    """Until told to reboot (True), or until the app deserves another try (False)."""
    print("safe mode: " + why)
    since = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), since) < _APP_AGAIN_MS:
        try:
            _Session(directory, why).serve(since)
        except Exception as fault:
            print("safe mode: %r" % fault)
        else:
            return True
        _wait(directory, _AGAIN_S * 1000)
    return False


def reset(directory):
    """Reset the board."""
    try:
        from machine import reset as reset_chip  # noqa: PLC0415  # the unix port has none
    except ImportError:
        _signal(directory, b"r")
        while True:
            time.sleep(1)
    reset_chip()


class _Session:
    """A connection to the broker that the app had."""

    def __init__(self, directory, why):
        from umqtt.simple import MQTTClient  # noqa: PLC0415  # may be missing: try again

        self._directory = directory
        self._why = why
        told = _told(directory)
        _join(directory, told)
        self._device_id = told["device_id"]
        self._topic = "sensors/%s/%s/" % (told["facility"], told["device_id"])
        self._is_asked = False
        self._client = MQTTClient(
            told["device_id"],
            told["broker"],
            told["port"],
            told.get("user"),
            told.get("password"),
            keepalive=30,
        )
        self._client.set_callback(self._take)
        gone = json.dumps({"device_id": self._device_id, "state": "offline"})
        self._client.set_last_will(self._topic + "status", gone, True, 1)

    def serve(self, since):
        """Until a reboot is ordered; OSError when it breaks or takes too long."""
        self._client.connect()
        self._client.subscribe(self._topic + "command", 1)
        self._report()  # who reads it may order at once
        pinged = time.ticks_ms()
        while not self._is_asked:
            _wait(self._directory, _ROUND_MS)
            self._client.check_msg()
            now = time.ticks_ms()
            if time.ticks_diff(now, pinged) > _PING_MS:
                self._client.ping()
                pinged = now
            if time.ticks_diff(now, since) > _APP_AGAIN_MS:
                raise OSError("no order came")
        self._client.disconnect()

    def _report(self, **more):
        told = {
            "device_id": self._device_id,
            "state": "safe_mode",
            "reset_cause": _printable(self._why),
        }
        told.update(more)
        self._client.publish(self._topic + "status", json.dumps(told), True, 1)

    def _take(self, _topic, msg):
        """Of a message that is no command at all, the fault is only logged."""
        try:
            command = json.loads(msg)
            command_id, action = command["id"], command["action"]
            if command["device_id"] != self._device_id:
                return
        except (ValueError, KeyError, TypeError) as fault:
            print("safe mode: no command: %r" % fault)
            return
        last = {"id": _printable(command_id), "result": "refused"}
        if action != "reboot":
            last["error"] = "safe mode: reboot only"
        elif _read(self._directory + "/data" + _OBEYED) == command_id:
            last["error"] = "repeated"
        else:
            with open(self._directory + "/data" + _OBEYED, "w") as file:
                file.write(command_id)
            last["result"] = "done"
            self._is_asked = True
        self._report(last_command=last)


def _told(directory):
    """What was provisioned, and the network that the configuration has proven."""
    told = json.loads(_read(directory + "/settings.json"))
    told.setdefault("port", _PORT)
    try:
        config = json.loads(_read(directory + "/data/config.json") or "{}")
        told["wifi_ssid"] = config.get("wifi_ssid") or told.get("wifi_ssid")
        if config.get("mqtt_broker"):
            host, _, port = config["mqtt_broker"].partition(":")
            told["broker"], told["port"] = host, int(port or _PORT)
    except (ValueError, AttributeError) as fault:
        print("safe mode: config.json: %r" % fault)
    return told


def _join(directory, told):
    """Join the Wi-Fi, where there is one."""
    try:
        import network  # noqa: PLC0415  # the unix port has none
    except ImportError:
        return
    station = network.WLAN(network.STA_IF)
    station.active(True)
    if not station.isconnected():
        station.connect(told.get("wifi_ssid"), told.get("wifi_password"))
    since = time.ticks_ms()
    while not station.isconnected():
        if time.ticks_diff(time.ticks_ms(), since) > _JOIN_MS:
            raise OSError("no network")
        _wait(directory, _ROUND_MS)


def _wait(directory, ms):
    """Sleep, and keep the watchdog away meanwhile."""
    while ms > 0:
        _feed(directory)
        time.sleep_ms(min(ms, _ROUND_MS))
        ms -= _ROUND_MS


def _feed(directory):
    try:
        from machine import WDT  # noqa: PLC0415  # the unix port has none
    except ImportError:
        _signal(directory, b"f")
    else:
        WDT(timeout=60000).feed()


def _signal(directory, byte):
    """To the virtual board's host."""
    with open(directory + "/reset", "r+b", 0) as line:
        line.write(byte)


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def _printable(text):
    return "".join([c if " " <= c <= "~" else "?" for c in str(text)[:64]])
