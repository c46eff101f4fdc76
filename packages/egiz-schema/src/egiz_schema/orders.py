"""What a device receives, checked by the device: config and command.

This file keeps to the MicroPython subset, as limits and topics do. The verdicts are
those of `egiz_schema.decode`; the golden vectors and a comparison by fuzzing hold the
two together. What is checked is a parsed document: the rules of the JSON text itself
(a member named twice, depth) are the sender's to keep.

Each error is a ``ValueError(reason, sentence)``: a reason of the contract, and which
member is wrong and how, in as many characters as a status can carry.
"""

from egiz_schema import limits


def check_config(document: object, device_id: str) -> None:
    """Raise ValueError unless `document` is a config message for `device_id`."""
    _check_message(document, _CONFIG, ("device_id",), device_id)


def check_command(document: object, device_id: str) -> None:
    """Raise ValueError unless `document` is a command for `device_id`."""
    _check_message(document, _COMMAND, ("device_id", "id", "action"), device_id)


def split_host_port(text: str) -> tuple[str, int | None]:
    """Read ``host`` or ``host:port``, as `mqtt_broker` of a config has it.

    An IPv6 address is in brackets, which are left out of what is returned. The port is
    None if there is none.

    Raises:
        ValueError: with one sentence, short enough for a status, that quotes nothing.
    """
    if text[:1] == "[":
        host, bracket, port = text[1:].partition("]")
        if not bracket or host.count(":") < 2 or not _all_in(host, _IPV6):
            raise ValueError("no IPv6 address in [ ]; write [::1]:1883")
        if port and port[0] != ":":
            raise ValueError("after ] comes : and the port")
        colon, port = port[:1], port[1:]
    else:
        host, colon, port = text.partition(":")
        if ":" in port:
            raise ValueError("an IPv6 address needs brackets: [::1]:1883")
        if not host:
            raise ValueError("no host; write host:port")
        if len(host) > _HOST_MAX or not _all_in(host, _HOST):
            raise ValueError("host must be of A-Z a-z 0-9 . _ and -")
    if not colon:
        return host, None
    # int() reads digits of other scripts, signs and spaces, too.
    if not 0 < len(port) <= _PORT_DIGITS or not _all_in(port, _DIGITS):
        raise ValueError("port must be a number, 1 to 65535")
    if not 0 < int(port) <= _PORT_MAX:
        raise ValueError("port must be 1 to 65535")
    return host, int(port)


def _all_in(text, characters):
    for character in text:  # noqa: SIM110  # a generator costs heap on the device
        if character not in characters:
            return False
    return True


def _check_message(document, rules, required, device_id):
    if type(document) is not dict:
        raise _error("type", "", "not an object")
    version = document.get("v", limits.WIRE_VERSION)
    if type(version) is int and version != limits.WIRE_VERSION:
        raise _error("unsupported_version", "v", "not %d" % limits.WIRE_VERSION)
    for name, value in document.items():
        # An unknown member is one of a newer contract; null is one that is left out.
        if name in rules and (value is not None or name in required or name == "v"):
            _check(value, rules[name], name)
    for name in required:
        if name not in document:
            raise _error("missing", name, "missing")
    if document["device_id"] != device_id:
        raise _error("device_mismatch", "device_id", "not ours")


def _check(value, rule, path):
    """Check a value by a rule: what it must be, and the ends that it has."""
    kind, low, high = rule
    if type(value) is bool or type(value) not in _TYPES[kind]:
        if not (kind is _ARGUMENT and type(value) is bool):
            raise _error("type", path, "not " + kind)
    elif type(value) is str:
        _check_text(value, 0 if kind is _ARGUMENT else low, high, path)
    elif type(value) is dict:
        _check_members(value, low, high, path)
    else:
        span = _EXACT if kind is _ARGUMENT else (low, high)
        if not span[0] <= value <= span[1]:
            raise _error("range", path, "not %d..%d" % span)


def _check_text(value, shortest, longest, path):
    if not shortest <= len(value) <= longest:
        raise _error("range", path, "not %d..%d characters" % (shortest, longest))
    for character in value:
        if not " " <= character <= "~":
            raise _error("charset", path, "not printable ASCII")


def _check_members(value, rule, most, path):
    """An object: of at most so many members by one rule, or of those that are named."""
    if len(value) > most:
        raise _error("range", path, "more than %d" % most)
    for name, item in value.items():
        place = path + "." + name
        if type(rule) is tuple:
            _check_text(name, 1, limits.TEXT_MAX, path)
            _check(item, rule, place)
        elif name in rule and item is not None:
            _check(item, rule[name], place)


def _error(reason, path, sentence):
    # The place is cut, if something must be: a status carries printable ASCII only.
    place = "".join([c if " " <= c <= "~" else "?" for c in path])
    place = place[: limits.TEXT_MAX - len(sentence) - 2]
    return ValueError(reason, place + ": " + sentence if place else sentence)


_DIGITS = "0123456789"
_HOST = _DIGITS + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-"
_IPV6 = _DIGITS + "abcdefABCDEF:."
_HOST_MAX = 253
_PORT_MAX = 65535
_PORT_DIGITS = 5

# What a value must be, in words; and the rules, each with its ends.
_INTEGER, _NUMBER, _TEXT = "an integer", "a number", "a text"
_OBJECT, _ARGUMENT = "an object", "a text, number or boolean"
_TYPES = {
    _INTEGER: (int,),
    _NUMBER: (int, float),
    _TEXT: (str,),
    _OBJECT: (dict,),
    _ARGUMENT: (int, float, str),
}
_EXACT = (-limits.INTEGER_MAX, limits.INTEGER_MAX)
_ANY_TEXT = (_TEXT, 0, limits.TEXT_MAX)
_NAME = (_TEXT, 1, limits.TEXT_MAX)
_LIMIT = (_NUMBER, _EXACT[0], _EXACT[1])
_MANY = 1000  # members without a limit of their own: the payload is short

_CONFIG = {
    "device_id": (_TEXT, 3, 48),  # as topics.py has it, which is large
    "v": (_INTEGER, limits.WIRE_VERSION, limits.WIRE_VERSION),
    "rev": (_INTEGER, 0, limits.U32_MAX),
    "sampling_rate_ms": (_INTEGER, limits.SAMPLING_MS[0], limits.SAMPLING_MS[1]),
    "publish_rate_ms": (_INTEGER, limits.PUBLISH_MS[0], limits.PUBLISH_MS[1]),
    "buffer_size": (_INTEGER, limits.BUFFER_MESSAGES[0], limits.BUFFER_MESSAGES[1]),
    "wifi_ssid": _ANY_TEXT,
    "mqtt_broker": _ANY_TEXT,
    "zones": (_OBJECT, _ANY_TEXT, limits.ZONES_MAX),
    "alerts": (
        _OBJECT,
        (_OBJECT, {"min": _LIMIT, "max": _LIMIT}, _MANY),
        limits.ALERTS_MAX,
    ),
}
_COMMAND = {
    "device_id": _CONFIG["device_id"],
    "v": _CONFIG["v"],
    "id": _NAME,
    "action": _NAME,
    "args": (_OBJECT, (_ARGUMENT, 0, limits.TEXT_MAX), limits.ARGUMENTS_MAX),
    "expires_at": (_INTEGER, limits.TIMESTAMP_S[0], limits.TIMESTAMP_S[1]),
}
