"""The fields of the form as settings; in memory only while one is checked."""

from egiz_edge import settings_check

# Setting -> the field of the form that it comes from.
FIELDS = {
    "wifi_ssid": "network",
    "wifi_password": "key",
    "device_id": "device_id",
    "facility": "facility",
    "broker": "broker",
    "port": "broker",
    "user": "user",
    "password": "password",
}
_PORT = 1883
_FIELDS_MAX = 16  # the page has eleven; a form of hundreds would not fit into memory


def fields(body):
    """The fields of a form as a browser sends it; ValueError where it is none."""
    if body.count(b"&") >= _FIELDS_MAX:
        raise ValueError("too many fields")
    found, at = {}, 0
    while at < len(body):  # one after the other: all at once would be there twice
        end = body.find(b"&", at)
        if end < 0:
            end = len(body)
        name, _, value = body[at:end].partition(b"=")
        found[_decoded(name)] = _decoded(value)
        at = end + 1
    return found


def settings(given, old):
    """What the fields make of the settings until now, and the fields that are wrong.

    What the form does not know stays. An empty field keeps what was there; a password
    stays only where it was used: for the same network, the same user and broker.
    """
    old = dict(old)
    old["port"] = old.get("port") or _PORT
    new = dict(old)
    new["wifi_ssid"] = given.get("other") or given.get("network")
    _change(new, old, "wifi_password", given.get("key"), ("wifi_ssid",))
    if given.get("open") and not given.get("key"):
        new["wifi_password"] = None
    for name in ("facility", "device_id"):
        new[name] = given.get(name, "").strip() or old.get(name)
    if is_named_by_certificate(old):
        new["device_id"] = old["device_id"]
    is_clean = _change_broker(new, given.get("broker", "").strip())
    new["user"] = given.get("user")
    _change(new, old, "password", given.get("password"), ("user", "broker", "port"))
    new = {name: value for name, value in new.items() if value not in (None, "")}
    found = settings_check.problems(new)
    wrong = {FIELDS[name] for name in found if name in FIELDS}
    if not is_clean:
        wrong.add("broker")
    if "wifi_ssid" not in new:
        wrong.add("network")
    return new, wrong


def is_named_by_certificate(old):
    """Whether the device has a certificate, which names it."""
    tls = old.get("tls")
    return type(tls) is dict and "cert" in tls and "device_id" in old


def _change(new, old, name, value, of):
    """A password, which an empty field leaves as it is, if it is of the same."""
    if value:
        new[name] = value
    elif [one for one in of if (new.get(one) or None) != old.get(one)]:
        new[name] = None


def _change_broker(new, text):
    """Whether it is host or host:port; an empty one changes nothing."""
    if not text:
        return True
    host, colon, port = text.partition(":")
    is_number = 0 < len(port) < 6 and not [c for c in port if not "0" <= c <= "9"]
    if colon:
        new["port"] = int(port) if is_number else 0
    elif host != new.get("broker"):
        new["port"] = _PORT
    new["broker"] = host
    return is_number or not colon


def _decoded(text):
    """Of a form: + is a space, %41 is an A."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text.decode()
    parts = text.split(b"%")
    found = parts[0]
    for part in parts[1:]:
        if len(part) < 2:
            raise ValueError("a % without two digits")
        found += bytes([int(part[:2], 16)]) + part[2:]
    return found.decode()
