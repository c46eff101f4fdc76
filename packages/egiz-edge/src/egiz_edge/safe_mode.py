"""Safe mode: what runs on a device when its app crashes at every boot.

It reports on the status topic (retained) that it is in safe mode and why, and executes
three commands: `reboot`, `ota` and `rollback`. It shares no code with the app that has
just crashed, but tls.py where the settings name TLS, the contract's for an emoji in
them, and for an update safe_orders.py; it only reads what was provisioned: identity and
credentials stay. The MQTT client is the stock
`umqtt.simple`, which waits without end for a broker that does not answer; the watchdog
ends that.
"""

import json
import sys
import time

from machine import WDT, reset

from egiz_edge import boot_loop, unload

_PORT = 1883
_ROUND_MS = 500
_PING_MS = 10000  # a keepalive is 30 s
_RETRY_S = 5  # after a connection has failed or broken
_JOIN_MS = 20000
_RETRY_APP_MS = 900000  # the cause may be gone by then
_ANSWERS_MAX = 16
_TEXTS = ("user", "password", "wifi_ssid", "wifi_password")  # settings
_ACTIONS = ("reboot", "ota", "rollback")
_BUTTON = 0  # BOOT, as ports/esp32.py has it
_presses = []  # of the button, the one that has begun


def main(directory, data, count, reset_reason):
    """Run it after `count` boots that were not confirmed, and reset the board."""
    # Without a command, the app is tried once before safe mode runs again: also after a
    # power cut, and after the watchdog has ended a wait for a broker that hangs.
    boot_loop.write(data, boot_loop.SAFE - 1, reset_reason)
    is_ordered = run(directory, reset_reason or "%d boots were not confirmed" % count)
    boot_loop.write(data, 0 if is_ordered else boot_loop.SAFE - 1, "reboot: safe_mode")
    reset()


def run(directory, reason):
    """Until a reset is ordered (True), or until it is time to try the app (False)."""
    print("safe mode: " + reason)
    since = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), since) < _RETRY_APP_MS:
        try:
            _Session(directory, reason).serve(since)
        except Exception as error:
            print("safe mode: %r" % error)
        else:
            return True
        _wait(_RETRY_S * 1000)
    return False


class _Session:
    """A connection to the broker that the app had."""

    def __init__(self, directory, reason):
        from umqtt.simple import MQTTClient  # noqa: PLC0415  # may be missing: try again

        self._directory = directory
        self._data = directory + "/data"
        self._reason = reason
        settings = provisioned(directory)
        _join(settings)
        self._device_id = settings["device_id"]
        self._topic = "sensors/%s/%s/" % (settings["facility"], settings["device_id"])
        self._is_ordered = False
        self._update = None  # what the status has of one that is ordered
        self._answers = []  # that are to be reported
        self._client = MQTTClient(
            settings["device_id"],
            settings["broker"],
            settings["port"],
            settings.get("user"),
            settings.get("password"),
            keepalive=30,
        )
        if settings.get("tls") is not None:
            self._client.ssl = _tls(self._client, settings["tls"])
        self._client.set_callback(self._receive)
        will = json.dumps({"device_id": self._device_id, "state": "offline"})
        self._client.set_last_will(self._topic + "status", will, True, 1)

    def serve(self, since):
        """Until a reset is ordered; OSError when it breaks or takes too long."""
        try:
            self._serve(since)
        finally:
            if self._client.sock:  # umqtt leaves it open; a board has ten
                self._client.sock.close()

    def _serve(self, since):
        _feed()  # from here on, a broker that hangs has an end
        self._client.connect()
        self._client.subscribe(self._topic + "command", 1)
        answers = _answers()
        last = answers.member(self._data) if answers else {}
        self._report(**last)  # whoever reads it may send a command immediately
        del answers, last
        pinged = time.ticks_ms()
        while not self._is_ordered:
            _wait(_ROUND_MS)
            self._client.check_msg()
            self._report_answers()
            now = time.ticks_ms()
            if time.ticks_diff(now, pinged) > _PING_MS:
                self._client.ping()
                pinged = now
            if time.ticks_diff(now, since) > _RETRY_APP_MS:
                raise OSError("no command was received")
        self._report_answers()
        self._client.disconnect()

    def _report(self, **more):
        members = {
            "device_id": self._device_id,
            "state": "safe_mode",
            "reset_cause": _printable(self._reason),
        }
        members.update(more)
        self._client.publish(self._topic + "status", json.dumps(members), True, 1)

    def _report_answers(self):
        """Not in `_receive`: there, publish would wait in another publish, for ever.

        Each receives what comes meanwhile, and would drop the PUBACK of the other.
        """
        while self._answers:
            last = self._answers.pop(0)
            if self._is_ordered and self._update and not self._answers:
                self._report(last_command=last, state="updating", ota=self._update)
            else:
                self._report(last_command=last)

    def _receive(self, _topic, msg):
        """Execute or refuse a command; what is no command is only logged."""
        try:
            command = json.loads(msg)
            command_id, action = command["id"], command["action"]
            if command["device_id"] != self._device_id:
                return
        except (ValueError, KeyError, TypeError) as error:
            print("safe mode: message ignored, not a command: %r" % error)
            return
        last = {"id": _printable(command_id), "result": "refused"}
        if action not in _ACTIONS:
            last["error"] = "safe mode: reboot, ota and rollback only"
        elif type(command_id) is not str:
            last["error"] = "id: not a text"
        else:
            last.update(self._executed(command, last["id"]))
        if len(self._answers) < _ANSWERS_MAX:
            self._answers.append(last)

    def _executed(self, command, printable_id):
        """Of the answer, all but the id."""
        answers = _answers()
        if answers is None:
            return self._obey(command)
        if answers.is_repeated(self._data, command["id"]):
            return {"error": "repeated"}
        answers.begin(self._data, command["id"], printable_id)
        found = self._obey(command)
        answers.end(self._data, printable_id, found)
        return found

    def _obey(self, command):
        """The result, and the reason of one that is no `done`."""
        if command["action"] != "reboot":
            try:
                from egiz_edge import safe_orders  # noqa: PLC0415  # few need it

                reason, self._update = safe_orders.obey(
                    self._directory, command, self._device_id
                )
            except Exception as error:
                return {"result": "failed", "error": _printable("%r" % error)}
            if reason is not None:
                safe_orders.unload_all()
                return {"result": "refused", "error": reason}
        self._is_ordered = True
        return {"result": "done"}


def provisioned(directory):
    """What was provisioned, with the network and broker of the confirmed config."""
    settings = json.loads(_read(directory + "/settings.json"))
    for name in _TEXTS:  # what cannot be used is left out, as by the app
        settings[name] = _text(settings.get(name))
    if type(settings.get("port")) is not int:
        settings["port"] = _PORT
    try:
        config = json.loads(_read(directory + "/data/config.json") or "{}")
        _change_network(settings, _text(config.get("wifi_ssid")))
        if config.get("mqtt_broker"):
            _change_broker(settings, config["mqtt_broker"])
    except (ValueError, AttributeError, MemoryError) as error:
        print("safe mode: config.json: %r" % error)
    return settings


def _text(value):
    """A text that is not empty, or None; an emoji may be two halves in it."""
    if type(value) is not str or not value:
        return None
    if not [half for half in value if "\ud800" <= half <= "\udfff"]:
        return value
    from egiz_schema.orders import joined  # noqa: PLC0415  # few need it

    try:
        return joined(value)
    except ValueError:
        return None


def _change_network(settings, ssid):
    """As effective_settings.py: without TLS and a key, a new one gets no password."""
    is_new = ssid is not None and ssid != settings["wifi_ssid"]
    settings["wifi_ssid"] = ssid or settings["wifi_ssid"]
    if is_new and settings["wifi_password"] is None:
        _keep_password(settings)


def _change_broker(settings, broker):
    """As effective_settings.py: without TLS, a new broker gets no password."""
    host, _, port = broker.partition(":")
    port = int(port or _PORT)
    is_new = (host, port) != (settings["broker"], settings["port"])
    settings["broker"], settings["port"] = host, port
    if is_new:
        _keep_password(settings)


def _keep_password(settings):
    if (
        settings.get("tls") is None
        and settings.get("password_for_any_broker") is not True
    ):
        settings["user"] = settings["password"] = None


def _tls(client, paths):
    """A context; without one nothing is sent, rather than in clear."""
    if hasattr(client, "ssl_params"):
        raise OSError("umqtt.simple is older than that of MicroPython 1.24: no TLS")
    from egiz_edge import tls  # noqa: PLC0415  # most devices have none

    return tls.context(paths)


def _join(settings):
    """Join the Wi-Fi, where there is one."""
    try:
        import network  # noqa: PLC0415  # the unix port has none
    except ImportError:
        return
    station = network.WLAN(network.WLAN.IF_STA)
    station.active(True)
    if not station.isconnected():
        station.connect(settings.get("wifi_ssid"), settings.get("wifi_password"))
    since = time.ticks_ms()
    while not station.isconnected():
        if time.ticks_diff(time.ticks_ms(), since) > _JOIN_MS:
            raise OSError("no network")
        _wait(_ROUND_MS)


def _wait(ms):
    """Sleep, and feed the watchdog meanwhile."""
    while ms > 0:
        _feed()
        if _presses or is_pressed():
            from egiz_edge import safe_button  # noqa: PLC0415  # seldom pressed

            safe_button.look(_presses)
        time.sleep_ms(min(ms, _ROUND_MS))
        ms -= _ROUND_MS


def is_pressed():
    """Whether the BOOT button is: no port is loaded here."""
    if sys.platform != "esp32":  # the virtual board
        return _read("/pin_button") == "1"
    from machine import Pin  # noqa: PLC0415  # as above

    return not Pin(_BUTTON, Pin.IN, Pin.PULL_UP).value()


def _feed():
    WDT(timeout=60000).feed()


def _answers():
    """The module of what is kept of commands; without it they are obeyed as well."""
    found = None
    try:
        from egiz_edge import safe_answers as found  # noqa: PLC0415  # not kept
    except Exception as error:
        print("safe mode: no word is kept of a command: %r" % error)
    unload("safe_answers")
    return found


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def _printable(text):
    return "".join([c if " " <= c <= "~" else "?" for c in str(text)[:64]])
