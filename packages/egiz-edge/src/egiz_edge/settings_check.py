"""What is wrong in settings.json: for `deploy`, and for the device at each boot.

A setting that cannot be used is left out at boot, and named; without identity or
broker nothing can be run. In memory only while it checks, or provisions.
"""

import json

from egiz_schema import limits, topics

_REQUIRED = ("facility", "device_id", "broker")  # the rest can be left out

_CHIPS = ("max31855", "max6675")  # as in drivers/thermocouple.py
_SELECTS = ("tc_0", "tc_1", "tc_2")  # as in ports/
_PINS = ("running", "fault", "input_3")
_CALIBRATED = ("electrical_voltage_", "electrical_current_", "electrical_active_power_")
_AP_AFTER = (0, 86400)  # s
_TERMS = {"gain": (0.8, 1.25), "offset": (-100, 100)}
_DIGITS = "0123456789abcdefABCDEF"


def unusable(path):
    """Why no device can run with this file, in a sentence; None if one can."""
    try:
        with open(path) as file:
            given = json.load(file)
    except (OSError, ValueError) as error:
        return "cannot be read: %s" % error
    except MemoryError:
        return "too large, or nested too deeply"
    if type(given) is not dict:
        return "not a JSON object"
    found = problems(given)
    for name in _REQUIRED:
        if name in found:
            return "%s: %s" % (name, found[name])
    return None


def problems(given):
    """Settings that cannot be used: name -> what is wrong."""
    found = {}
    for name, value in given.items():
        if name not in _CHECKS:
            found[name] = "there is no such setting"
        elif value is not None and not _CHECKS[name][0](value):
            found[name] = "must be " + _CHECKS[name][1]
    for name in _REQUIRED:
        if given.get(name) is None:
            found[name] = "must be " + _CHECKS[name][1]
    return found


def provision(settings, given):
    """Set the attributes of a `Settings` to what was provisioned."""
    from egiz_edge.effective_settings import resolve  # noqa: PLC0415  # not to check

    settings.unusable = problems(given)
    given = {
        name: whole(value) if type(value) is str else value
        for name, value in given.items()
        if name not in settings.unusable
    }
    if "tls" in settings.unusable:  # without one the device would connect in clear
        given["tls"] = "unusable"
    settings.given = given
    settings.facility = given["facility"]
    settings.device_id = given["device_id"]
    settings.wifi_password = given.get("wifi_password")
    settings.setpoint = given.get("setpoint")
    settings.thermocouples = given.get("thermocouples") or ()
    settings.states = given.get("states")
    settings.calibration = given.get("calibration")
    host, _, port = (given.get("ntp") or given["broker"]).partition(":")
    settings.ntp = (host, int(port or 123))
    settings.tls = given.get("tls")
    settings.update(resolve({}, given))


def whole(text):
    """The text, with each emoji that is escaped as two halves; else ValueError."""
    if not [half for half in text if "\ud800" <= half <= "\udfff"]:
        return text
    from egiz_schema import orders  # noqa: PLC0415  # large, and seldom needed

    return orders.joined(text)


def _is_text(value):
    return 0 < _bytes(value) <= limits.URL_MAX


def _bytes(value):
    """How many a text has; 0 for what is none, or has half an emoji in it."""
    try:
        return len(whole(value).encode()) if type(value) is str else 0
    except ValueError:
        return 0


def _is_host(value):
    return _is_text(value) and not [c for c in value if c in ":/@ "]


def _is_ntp(value):
    host, colon, port = value.partition(":") if type(value) is str else ("", "", "")
    return _is_host(host) and (not colon or (port.isdigit() and _is_port(int(port))))


def _is_port(value):
    return _is_within(value, (1, 65535))


def _is_within(value, ends):
    return type(value) is int and ends[0] <= value <= ends[1]


def _is_ssid(value):
    return _bytes(value) > 0 and limits.is_ssid(whole(value))


def _is_wifi_password(value):
    # Of WPA2: words, or the key itself in hexadecimal digits.
    return 8 <= _bytes(value) <= 63 or _is_rom(value, 64)


def _is_list(value, is_allowed):
    if type(value) is not list or len(value) > limits.ZONES_MAX:
        return False
    return not [one for one in value if not is_allowed(one)]


def _is_rom(value, size=16):  # in hexadecimal digits
    if type(value) is not str or len(value) != size:
        return False
    return not [one for one in value if one not in _DIGITS]


def _is_pair(value, firsts, seconds):
    if type(value) is not list or len(value) != 2 or value[1] not in seconds:
        return False
    return value[0] in firsts if firsts else _is_text(value[0])


def _is_tls(value):
    if type(value) is not dict or "ca" not in value:
        return False
    if ("cert" in value) != ("key" in value):
        return False
    return not [name for name in value.values() if not _is_text(name)]


def _is_calibration(value):
    if type(value) is not dict:
        return False
    for name, terms in value.items():
        if not _is_calibrated(name) or type(terms) is not dict or not terms:
            return False
        for term, number in terms.items():
            if term not in _TERMS or type(number) not in (int, float):
                return False
            if not _TERMS[term][0] <= number <= _TERMS[term][1]:
                return False
    return True


def _is_calibrated(name):
    is_field = name[:-1] in _CALIBRATED and name[-1] in "abc"
    return is_field or name in _SELECTS or (_is_rom(name) and name == name.lower())


# Setting -> (whether a value can be used, what is needed).
_CHECKS = {
    "facility": (
        lambda v: type(v) is str and topics.is_facility(v),
        "a facility of the topics, such as bakery or plant-2",
    ),
    "device_id": (
        lambda v: type(v) is str and topics.is_device_id(v),
        "type-unit, such as oven-001",
    ),
    "broker": (_is_host, "a host name or address; the port is a setting of its own"),
    "port": (_is_port, "a number, 1 to 65535"),
    "user": (_is_text, "a text"),
    "password": (_is_text, "a text"),
    "password_for_any_broker": (lambda v: type(v) is bool, "true or false"),
    "wifi_ssid": (_is_ssid, "a text of 1 to 32 bytes"),
    "wifi_password": (_is_wifi_password, "8 to 63 bytes or 64 hex digits"),
    "ap_after": (
        lambda v: _is_within(v, _AP_AFTER),
        "seconds, an integer, %d to %d" % _AP_AFTER,
    ),
    "ntp": (_is_ntp, "a host or host:port"),
    "tls": (_is_tls, "an object with ca, and cert and key if wanted"),
    "zones": (lambda v: _is_list(v, _is_rom), "ROM ids of 16 hexadecimal digits"),
    "thermocouples": (
        lambda v: _is_list(v, lambda one: _is_pair(one, _CHIPS, _SELECTS)),
        "pairs of max31855 or max6675 and tc_0, tc_1 or tc_2",
    ),
    "states": (
        lambda v: _is_list(v, lambda one: _is_pair(one, None, _PINS)),
        "pairs of a state and running, fault or input_3",
    ),
    "calibration": (
        _is_calibration,
        "fields as electrical_voltage_a, a ROM id or tc_0, each with gain or offset",
    ),
    "setpoint": (
        lambda v: _is_within(v, [100 * end for end in limits.TEMPERATURE_C]),
        "an integer, in 0.01 degrees Celsius",
    ),
    "sampling_rate_ms": (
        lambda v: _is_within(v, limits.SAMPLING_MS),
        "an integer, %d to %d" % limits.SAMPLING_MS,
    ),
    "publish_rate_ms": (
        lambda v: _is_within(v, limits.PUBLISH_MS),
        "an integer, %d to %d" % limits.PUBLISH_MS,
    ),
    "buffer_size": (
        lambda v: _is_within(v, limits.BUFFER_MESSAGES),
        "an integer, %d to %d" % limits.BUFFER_MESSAGES,
    ),
}
