"""What a device receives, checked by the device: config and command.

This file keeps to the MicroPython subset, as limits and topics do. The verdicts are
those of `egiz_schema.decode`; the golden vectors and a comparison by fuzzing hold the
two together. What is checked is a parsed document: the rules of the JSON text itself
(a member named twice, depth) are the sender's to keep.

Each error is a ``ValueError(reason, sentence)``: a reason of the contract, and which
member is wrong and how, in as many characters as a status can carry. An integer may
have been written as 1000.0, as some senders do: a check makes it 1000 in the document.

`ACTIONS` is what commands may order; an action that is not there is refused.
"""

from egiz_schema import limits


def check_config(document: object, device_id: str) -> None:
    """Raise ValueError unless `document` is a config message for `device_id`."""
    _check_message(document, _CONFIG, ("device_id",), device_id)


def check_command(document: object, device_id: str) -> None:
    """Raise ValueError unless `document` is a command for `device_id`."""
    _check_message(document, _COMMAND, ("device_id", "id", "action"), device_id)


def check_arguments(action: str, arguments: dict[str, object], device_id: str) -> None:
    """Raise ValueError unless `arguments` are those of a known action (`ACTIONS`).

    An argument that the action does not have is refused: whoever wrote it expects an
    effect. So is a dangerous action whose `confirm` is not the device's id.
    """
    if type(arguments) is not dict:
        raise _error("type", "args", "not " + _OBJECT)
    if action not in ACTIONS:
        raise _error("type", "action", "unknown")
    rules, required, is_dangerous, _ = ACTIONS[action]
    for name in arguments:
        if name not in rules:
            raise _error("type", "args." + name, "not of this action")
    _check_members(arguments, rules, required, "args")
    if is_dangerous and arguments.get("confirm") != device_id:
        raise _error("device_mismatch", "args.confirm", "not the device id")


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


def joined(text: str) -> str:
    """Give the text with each surrogate pair as the character that it stands for.

    Many programs escape an emoji as two surrogates, which MicroPython's parser leaves
    as two characters: no network has such a name. A half alone is refused.

    Raises:
        ValueError: as a check here does, of the member `wifi_ssid`.
    """
    whole, high = "", 0
    for character in text:
        code = ord(character)
        if 0xDC00 <= code < 0xE000 and high:
            code, high = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00, 0
            whole += chr(code)
        elif high or 0xDC00 <= code < 0xE000:
            raise _error("charset", "wifi_ssid", "half a character")
        elif 0xD800 <= code < 0xDC00:
            high = code
        else:
            whole += character
    if high:
        raise _error("charset", "wifi_ssid", "half a character")
    return whole


def _all_in(text, characters):
    for character in text:  # noqa: SIM110  # a generator costs heap on the device
        if character not in characters:
            return False
    return True


def _check_message(document, rules, required, device_id):
    if type(document) is not dict:
        raise _error("type", "", "not an object")
    version = document.get("v", limits.WIRE_VERSION)
    if not _is_endless(version):
        version = _integral(version)
    if type(version) is int and version != limits.WIRE_VERSION:
        raise _error("unsupported_version", "v", "not %d" % limits.WIRE_VERSION)
    if "v" in document and version is None:
        raise _error("type", "v", "not " + _INTEGER)
    _check_members(document, rules, required, "")
    if document["device_id"] != device_id:
        raise _error("device_mismatch", "device_id", "not ours")


def _check_members(document, rules, required, path):
    for name in list(document):
        # An unknown member is one of a newer contract; null is one that is left out.
        value = document[name]
        if name in rules and (value is not None or name in required):
            place = path + "." + name if path else name
            document[name] = _checked(value, rules[name], place)
    for name in required:
        if name not in document:
            raise _error("missing", path + "." + name if path else name, "missing")


def _checked(value, rule, path):
    """The value, once it keeps a rule: what it must be, and the ends that it has."""
    kind, low, high = rule
    if kind is _INTEGER:
        value = _integral(value)
    elif kind is _SSID and type(value) is str:
        value = joined(value)
    is_allowed = type(value) in _TYPES[kind]
    if type(value) is bool:
        is_allowed = kind is _ARGUMENT
    if not is_allowed:
        raise _error("type", path, "not " + kind)
    if type(value) is str:
        _check_text(value, kind, low, high, path)
    elif type(value) is dict and type(low) is tuple:
        _check_map(value, low, high, path)
    elif type(value) is dict:
        _check_members(value, low, high, path)
    elif type(value) is not bool:
        span = _EXACT if kind is _ARGUMENT else (low, high)
        if not span[0] <= value <= span[1]:
            raise _error("range", path, "not %d..%d" % span)
    return value


def _integral(value):
    """1000.0 is 1000, as in JSON Schema; what is endless is past any integer."""
    if type(value) is not float:
        return value
    if _is_endless(value):
        return 1 << 64 if value > 0 else -1 << 64
    whole = int(value)
    return whole if whole == value else value


def _is_endless(value):
    return type(value) is float and value - value != 0


def _check_text(value, kind, shortest, longest, path):
    length = len(value.encode()) if kind is _SSID else len(value)
    if not shortest <= length <= longest:
        unit = "bytes" if kind is _SSID else "characters"
        raise _error("range", path, "not %d..%d %s" % (shortest, longest, unit))
    if kind is _SSID and not limits.is_ssid(value):
        raise _error("charset", path, "has a control character")
    if kind is not _SSID and not limits.is_text(value):
        raise _error("charset", path, "not printable ASCII")


def _check_map(value, rule, most, path):
    """An object of at most so many members, by names that people chose."""
    if len(value) > most:
        raise _error("range", path, "more than %d" % most)
    for name in list(value):
        _check_text(name, _TEXT, 1, limits.TEXT_MAX, path)
        value[name] = _checked(value[name], rule, path + "." + name)


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

# What a value must be, in words; and the rules, each with its ends. Of an object, they
# are the rules of its members with those that are required, or the rule of each member
# with how many there may be.
_INTEGER, _NUMBER, _TEXT, _SSID = "an integer", "a number", "a text", "a network's name"
_OBJECT, _ARGUMENT = "an object", "a text, number or boolean"
_TYPES = {
    _INTEGER: (int,),
    _NUMBER: (int, float),
    _TEXT: (str,),
    _SSID: (str,),
    _OBJECT: (dict,),
    _ARGUMENT: (int, float, str),
}
_EXACT = (-limits.INTEGER_MAX, limits.INTEGER_MAX)
_ANY_TEXT = (_TEXT, 0, limits.TEXT_MAX)
_NAME = (_TEXT, 1, limits.TEXT_MAX)
_U32 = (_INTEGER, 0, limits.U32_MAX)
_LIMIT = (_NUMBER, _EXACT[0], _EXACT[1])

_FIRMWARE = {
    "version": _NAME,
    "url": (_TEXT, 1, limits.URL_MAX),
    "percent": (_INTEGER, 0, 100),
    "window": _ANY_TEXT,
    "keys": _U32,
}
_CONFIG = {
    "device_id": (_TEXT, 3, 48),  # as topics.py has it, which is large
    "v": (_INTEGER, limits.WIRE_VERSION, limits.WIRE_VERSION),
    "rev": _U32,
    "sampling_rate_ms": (_INTEGER, limits.SAMPLING_MS[0], limits.SAMPLING_MS[1]),
    "publish_rate_ms": (_INTEGER, limits.PUBLISH_MS[0], limits.PUBLISH_MS[1]),
    "report_rate_ms": (_INTEGER, limits.REPORT_MS[0], limits.REPORT_MS[1]),
    "buffer_size": (_INTEGER, limits.BUFFER_MESSAGES[0], limits.BUFFER_MESSAGES[1]),
    "wifi_ssid": (_SSID, 0, limits.SSID_BYTES_MAX),
    "mqtt_broker": _ANY_TEXT,
    "zones": (_OBJECT, _ANY_TEXT, limits.ZONES_MAX),
    "alerts": (
        _OBJECT,
        (_OBJECT, {"min": _LIMIT, "max": _LIMIT}, ()),
        limits.ALERTS_MAX,
    ),
    "firmware": (_OBJECT, _FIRMWARE, ("version", "url")),
}
_COMMAND = {
    "device_id": _CONFIG["device_id"],
    "v": _CONFIG["v"],
    "id": _NAME,
    "action": _NAME,
    "args": (_OBJECT, (_ARGUMENT, 0, limits.URL_MAX), limits.ARGUMENTS_MAX),
    "expires_at": (_INTEGER, limits.TIMESTAMP_S[0], limits.TIMESTAMP_S[1]),
}

_CONFIRM = {"confirm": _ANY_TEXT}  # the device's id
# Of each action: the rules of its arguments, those that are required, whether it is
# dangerous (needs `confirm`), and whether it may be sent twice without harm.
ACTIONS = {
    "reboot": ({}, (), False, False),
    "identify": ({"seconds": (_INTEGER, 1, 600)}, (), False, True),
    "sample_now": ({}, (), False, True),
    "reset_energy": ({}, (), False, False),
    "factory_reset": (_CONFIRM, ("confirm",), True, False),
    "ota": (_FIRMWARE, ("version", "url"), False, True),
    "rollback": (_CONFIRM, ("confirm",), True, False),
    "portal": ({}, (), False, True),
}
