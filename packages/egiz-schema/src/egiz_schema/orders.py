"""What a device is told, checked by the device: config and command.

This file keeps to the MicroPython subset, as limits and topics do. The verdicts are
those of `egiz_schema.decode`; the golden vectors and a comparison by fuzzing hold the
two together. What is checked is a parsed document: the rules of the JSON text itself
(a member named twice, depth) are the sender's to keep.

Each fault is a ``ValueError(reason, sentence)``: a reason of the contract, and which
member is wrong and how, in as many characters as a status can carry.
"""

from egiz_schema import limits, topics


def check_config(document: object, device_id: str) -> None:
    """Raise ValueError unless `document` is a config message for `device_id`."""
    _check_message(document, _CONFIG, ("device_id",), device_id)


def check_command(document: object, device_id: str) -> None:
    """Raise ValueError unless `document` is a command for `device_id`."""
    _check_message(document, _COMMAND, ("device_id", "id", "action"), device_id)


def _check_message(document, rules, required, device_id):
    if type(document) is not dict:
        raise _fault("type", "", "not an object")
    version = document.get("v", limits.WIRE_VERSION)
    if type(version) is int and version != limits.WIRE_VERSION:
        raise _fault("unsupported_version", "v", "not %d" % limits.WIRE_VERSION)
    _check_members(document, rules, required, "")
    if document["device_id"] != device_id:
        raise _fault("device_mismatch", "device_id", "not ours")


def _check_members(document, rules, required, path):
    for name, value in document.items():
        # An unknown member is one of a newer contract; null is one that is not told.
        if name in rules and (value is not None or name in required or name == "v"):
            rules[name](value, _join(path, name))
    for name in required:
        if name not in document:
            raise _fault("missing", _join(path, name), "missing")


def _integer(span):
    def check(value, path):
        if type(value) is not int:
            raise _fault("type", path, "not an integer")
        _check_span(value, span, path)

    return check


def _check_number(value, path):
    if type(value) not in (int, float):
        raise _fault("type", path, "not a number")
    _check_span(value, _EXACT, path)


def _text(shortest, longest):
    def check(value, path):
        if type(value) is not str:
            raise _fault("type", path, "not a text")
        if not shortest <= len(value) <= longest:
            told = "not %d..%d characters" % (shortest, longest)
            raise _fault("range", path, told)
        for character in value:
            if not " " <= character <= "~":
                raise _fault("charset", path, "not printable ASCII")

    return check


def _members_of(check_value, most):
    def check(value, path):
        if type(value) is not dict:
            raise _fault("type", path, "not an object")
        if len(value) > most:
            raise _fault("range", path, "more than %d" % most)
        for name, item in value.items():
            _check_name(name, path)
            check_value(item, _join(path, name))

    return check


def _check_alert(value, path):
    if type(value) is not dict:
        raise _fault("type", path, "not an object")
    _check_members(value, {"min": _check_number, "max": _check_number}, (), path)


def _check_argument(value, path):
    if type(value) is str:
        _check_text(value, path)
    elif type(value) is not bool:
        _check_number(value, path)


def _check_span(value, span, path):
    if not span[0] <= value <= span[1]:
        raise _fault("range", path, "not %d..%d" % span)


def _join(path, name):
    return path + "." + name if path else name


def _fault(reason, path, told):
    # The place is cut, if something must be: a status carries printable ASCII only.
    place = "".join([c if " " <= c <= "~" else "?" for c in path])
    place = place[: limits.TEXT_MAX - len(told) - 2]
    return ValueError(reason, place + ": " + told if place else told)


_EXACT = (-limits.INTEGER_MAX, limits.INTEGER_MAX)
_check_text = _text(0, limits.TEXT_MAX)
_check_name = _text(1, limits.TEXT_MAX)
_check_device_id = _text(topics.DEVICE_ID_MIN, topics.DEVICE_ID_MAX)
_VERSION = _integer((limits.WIRE_VERSION, limits.WIRE_VERSION))

_CONFIG = {
    "device_id": _check_device_id,
    "v": _VERSION,
    "rev": _integer((0, limits.U32_MAX)),
    "sampling_rate_ms": _integer(limits.SAMPLING_MS),
    "publish_rate_ms": _integer(limits.PUBLISH_MS),
    "buffer_size": _integer(limits.BUFFER_MESSAGES),
    "wifi_ssid": _check_text,
    "mqtt_broker": _check_text,
    "zones": _members_of(_check_text, limits.ZONES_MAX),
    "alerts": _members_of(_check_alert, limits.ALERTS_MAX),
}
_COMMAND = {
    "device_id": _check_device_id,
    "v": _VERSION,
    "id": _check_name,
    "action": _check_name,
    "args": _members_of(_check_argument, limits.ARGUMENTS_MAX),
    "expires_at": _integer(limits.TIMESTAMP_S),
}
