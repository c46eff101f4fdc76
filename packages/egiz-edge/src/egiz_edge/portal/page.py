"""The page, in memory only while it is sent: a line of page.html at a time.

`{{name}}` is a value, or else a text of one language; both are escaped. A line that
begins with `?name ` is sent if that value is true, one with `*name ` then for each
network. Another language is another file of texts beside this one; a text that begins
with `?` is seldom needed, and in memory only then.
"""

import os

from egiz_edge.portal.http import head

_DIRECTORY = __file__.rpartition("/")[0] + "/"
_TEXTS = "texts_%s.txt"
_DEFAULT = "en"
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"))
_HTML = "Content-Type: text/html; charset=utf-8\r\n"
_CSP = (
    "Content-Security-Policy: default-src 'none'; style-src 'nonce-%s'; "
    "script-src 'nonce-%s'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'\r\n"
)
_CHUNK = 256  # characters; fewer are sent together with what follows
_KEPT = ("other", "device_id", "facility", "broker", "user")  # fields without a secret


async def show(session, request, writer, reason, given, wrong):
    """The page, in the language of the phone."""
    code = language(request.headers.get("accept-language"))
    nonce = os.urandom(8).hex()
    known = texts(code, [reason] + ["bad_" + name for name in wrong])
    values = _values(session, given, wrong)
    values.update(lang=code, nonce=nonce, reason=known.get(reason))
    chosen = given.get("network") if given else session.settings.get("wifi_ssid")
    writer.write(head("200 OK", _HTML + _CSP % (nonce, nonce)))
    waiting = ""
    for line in lines(values, _networks(session.networks, chosen), known):
        waiting += line
        if len(waiting) > _CHUNK:
            writer.write(waiting.encode())
            await writer.drain()
            waiting = ""
    writer.write(waiting.encode())
    await writer.drain()


def _values(session, given, wrong):
    old = session.settings
    is_form = session.state == "form"
    is_named = is_form and type(old.get("tls")) is dict and "cert" in old["tls"]
    values = {
        "token": session.token,
        "state": session.state,
        "form": is_form,
        "try": session.state == "trying",
        "end": session.state == "done",
        "has_key": is_form and bool(old.get("wifi_password")),
        "has_password": is_form and bool(old.get("password")),
        "readonly": " readonly" if is_named and "device_id" in old else "",
        "device_id": session.device_id,
        "checked": " checked" if given and given.get("open") else "",
    }
    for name in wrong:
        values["e_" + name] = True
    for name in _KEPT:
        values["v_" + name] = (given or _shown(session)).get(name, "")
    return values


def _shown(session):
    """The fields of the settings until now."""
    old = session.settings
    broker = old.get("broker") or ""
    if broker and old.get("port"):
        broker = "%s:%d" % (broker, old["port"])
    return {
        "other": "",  # it would win over the network that is chosen
        "device_id": session.device_id,
        "facility": old.get("facility") or "",
        "broker": broker,
        "user": old.get("user") or "",
    }


def _networks(near, chosen):
    """The list of the page; the network until now is in it, though it may be away."""
    if chosen and chosen not in [ssid for ssid, _, _ in near]:
        near = list(near)
        near.insert(0, (chosen, -100, False))
    return [
        {
            "ssid": ssid,
            "percent": str(max(0, min(100, 2 * (dbm + 100)))),
            "selected": " selected" if ssid == chosen else "",
        }
        for ssid, dbm, _ in near
    ]


def language(accepted):
    """The one of a browser's list, as it sends it, that there are texts in."""
    for wanted in (accepted or "").split(","):
        code = wanted.strip().split(";")[0].split("-")[0].lower()
        if code.isalpha() and _has(code):
            return code
    return _DEFAULT


def _has(code):
    try:
        open(_DIRECTORY + _TEXTS % code).close()
    except OSError:
        return False
    return True


def texts(code, needed):
    """Name -> text, in a language; of those marked with `?` only the needed ones."""
    found = {}
    with open(_DIRECTORY + _TEXTS % code) as file:
        for line in file:
            name, _, text = line.rstrip("\n").partition(" ")
            if name[0] == "?":
                name = name[1:]
                if name not in needed:
                    continue
            if text[:1] == "=":  # how most reasons begin
                text = found["unchanged"] + text[1:]
            found[name] = text
    return found


def lines(values, networks, known):
    """The page as texts.

    Args:
        values: name -> text, or whether a line is sent.
        networks: dicts of further values, one for each network of the list.
        known: what `texts` gives.
    """
    with open(_DIRECTORY + "page.html") as file:
        for line in file:
            mark, shown = line[:1], line
            if mark in ("?", "*"):
                condition, _, shown = line[1:].partition(" ")
                if not values.get(condition):
                    continue
            for one in networks if mark == "*" else (values,):
                yield _filled(shown, one, known)


def _filled(line, values, known):
    parts = line.split("{{")
    found = parts[0]
    for part in parts[1:]:
        name, _, rest = part.partition("}}")
        found += escaped(values[name] if name in values else known[name]) + rest
    return found


def escaped(text):
    """As text of HTML, and of an attribute in double quotes."""
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text
