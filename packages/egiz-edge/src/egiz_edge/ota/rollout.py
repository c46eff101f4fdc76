"""When a device obeys the firmware that its configuration wants.

Pure, and in memory only meanwhile. desired_firmware.py does what is decided here. How
often an order was obeyed is in flash (ota/order.py, `last`), and bounded.
"""

from binascii import crc32

JITTER_S = 300  # at most: not all devices fetch at once
AGAIN_S = 3600  # of running, until an order that failed is obeyed once more
CLOCK_S = 15  # between two looks at a clock that is not set
TIMES = 2  # that an order is obeyed, whatever became of it

NOTHING, WAIT, REFUSE, GO = range(4)

_DAY_S = 86400
_ENDED = {"rolled_back": "was rolled back", "refused": "was refused"}


def problem(wanted):
    """Why `firmware` of a configuration cannot be obeyed, in words, or None.

    The contract has allowed it: these are texts, of a length that a status can carry.
    """
    reason = _no_file(wanted["version"], wanted["url"])
    if reason is not None:
        return reason
    try:
        _span(wanted)
    except ValueError:
        return "firmware.window: not like 22:00-04:00"
    return None


def _no_file(version, url):
    """Why they do not name a file that ota/fetch.py could get, or None."""
    for character in version + url:
        if not "!" <= character <= "~":
            return "firmware: version or url has a space, or is not ASCII"
    for character in "/?#%":
        if character in version:
            return "firmware.version: has a " + character
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest:
        return "firmware.url: not http:// or https://"
    if "?" in url or "#" in url:  # the name of the file comes behind it
        return "firmware.url: has a ? or #"
    is_known = _is_server(rest.split("/")[0])
    return None if is_known else "firmware.url: its server is not HOST or HOST:PORT"


def _is_server(text):
    """Whether ota/fetch.py, which is too large to be asked here, has a use for it."""
    host, colon, port = text.partition(":")
    for character in port:
        if not "0" <= character <= "9":
            return False
    if not host or "@" in host:
        return False
    return not colon or (0 < len(port) < 10 and 0 < int(port) < 65536)


def number_of(wanted):
    """The same for orders that are the same: version, place and keys of a release."""
    members = (wanted["version"], wanted["url"], wanted.get("keys") or 0)
    return crc32(("%s %s %d" % members).encode())


def is_same(wanted, last):
    """Whether it is the order that was obeyed last."""
    return last is not None and last[0] == number_of(wanted)


def is_chosen(wanted, device_id):
    """Whether the device is among the percent that obey."""
    percent = wanted.get("percent")
    return percent is None or _draw(wanted, device_id) % 100 < percent


def not_now(wanted, now_s):
    """Why it must wait, and for how many seconds; (None, 0) if it need not.

    Args:
        wanted: `firmware` of a configuration.
        now_s: since 1970, UTC; None while the clock is not set.
    """
    span = _span(wanted)
    if now_s is None and (span or wanted["url"].startswith("https:")):
        return "clock not set", CLOCK_S
    if span:
        open_s = (now_s - span[0]) % _DAY_S
        if open_s >= span[1]:
            return "window " + wanted["window"], _DAY_S - open_s
    return None, 0


def decide(wanted, device_id, running, now_s, since_s, last):
    """What to do now: (verdict, words or None, seconds until it is decided again).

    Args:
        wanted: `firmware` of a configuration, without a `problem`.
        device_id: of this device.
        running: the version that runs.
        now_s: since 1970, UTC; None while the clock is not set.
        since_s: (seconds since it is wanted, seconds since boot).
        last: the order that was obeyed last, see ota/order.py; or None.
    """
    if wanted["version"] == running or not is_chosen(wanted, device_id):
        return NOTHING, None, 0
    is_again = is_same(wanted, last)
    reason = _reason(last) if is_again else None
    if reason is not None:
        return REFUSE, reason, 0
    words, wait_s = not_now(wanted, now_s)
    if words is None:
        wait_s = _jitter_s(wanted, device_id, now_s, since_s[0])
        if is_again:
            wait_s = max(wait_s, AGAIN_S - since_s[1])
    return (WAIT, words, wait_s) if wait_s > 0 else (GO, None, 0)


def _reason(last):
    """Why it is not obeyed again, or None."""
    _, version, times, state = last
    words = _ENDED.get(state)
    if words is None and times >= TIMES:
        words = "was installed twice" if state == "done" else "failed twice"
    return words and "%s %s" % (version, words)


def _jitter_s(wanted, device_id, now_s, waited_s):
    """How much of it is left; it begins again when the window opens."""
    most, span = JITTER_S + 1, _span(wanted)
    if span:
        most = min(most, span[1])
        waited_s = min(waited_s, (now_s - span[0]) % _DAY_S)
    return _draw(wanted, device_id) % most - waited_s


def _draw(wanted, device_id):
    """A number of the device; of another version it has another one."""
    return crc32(("%s:%s" % (device_id, wanted["version"])).encode())


def _span(wanted):
    """(when it opens, for how long) each day, in seconds; None: all day."""
    if not wanted.get("window"):
        return None
    begin, dash, end = wanted["window"].partition("-")
    begin_s, end_s = _seconds(begin), _seconds(end)
    if not dash:
        raise ValueError
    return (begin_s, (end_s - begin_s) % _DAY_S) if begin_s != end_s else None


def _seconds(text):
    """Of HH:MM, since midnight; 24:00 is 00:00."""
    hour, _, minute = text.partition(":")
    if len(hour) != 2 or len(minute) != 2:
        raise ValueError
    for character in hour + minute:  # int() reads signs and digits of other scripts
        if not "0" <= character <= "9":
            raise ValueError
    minutes = 60 * int(hour) + int(minute)
    if int(minute) > 59 or minutes > 1440:
        raise ValueError
    return 60 * (minutes % 1440)
