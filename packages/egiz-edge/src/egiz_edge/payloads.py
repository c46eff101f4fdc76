"""The window of samples, and the payloads of the contract, written piece by piece.

No float is used: on the ESP32 they have 24 bits. No dict is built: a message costs
the heap its own length and little more.
"""

from egiz_schema.limits import CODES_MAX, TEXT_MAX

_PHASES = "abc"

# The PZEM's registers that a message carries: JSON name, window name, decimal digits of
# the scaled integer. Lists, see sensors.py.
_PER_PHASE = [["voltage", "u", 1], ["current", "i", 3], ["active_power", "p", 1]]
_ALONE = [["power_factor", "pf", 2], ["frequency", "f", 1]]


class Window:
    """What was sampled since the last message: means of scaled integers, and faults.

    Attributes:
        state: the last operational state, or None.
        faults: fault codes, each once, in the order in which they came.
        last: the last sample of what has no mean: a counter, by its name.
        zones: how many zones there are, read or not.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """Begin a new window: nothing of the old one is left in it."""
        self._sums = {}
        self._counts = {}
        self._missed = {}
        self.last = {}
        self.faults = []
        self.state = None
        self.zones = 0

    def add(self, name, value):
        """Add a sample of what is published as its mean: a scaled integer, or None."""
        if value is None:
            self._missed[name] = self._missed.get(name, 0) + 1
            return
        self._sums[name] = self._sums.get(name, 0) + value
        self._counts[name] = self._counts.get(name, 0) + 1

    def fault(self, code):
        """Note a fault code, once."""
        if code not in self.faults:
            self.faults.append(code)

    def mean(self, name):
        """The mean, rounded half up, or None if nothing was sampled."""
        count = self._counts.get(name)
        if not count:
            return None
        return (2 * self._sums[name] + count) // (2 * count)

    def count(self):
        """(Samples, those expected) of the mean that lacks the most; None if none does.

        What has no sample at all has no mean: its fault code says so.
        """
        found = None
        for name, missed in self._missed.items():
            count = self._counts.get(name)
            if count and (not found or count * found[1] < found[0] * (count + missed)):
                found = count, count + missed
        return found


def decimal(value, digits):
    """A scaled integer as a JSON number: 2257 with one digit is '225.7'."""
    if not digits:
        return str(value)
    sign = "-" if value < 0 else ""
    scale = 10**digits
    return "%s%d.%0*d" % (sign, abs(value) // scale, digits, abs(value) % scale)


def text(value):
    """A JSON string, of printable ASCII and as long as the contract allows."""
    plain = value[:TEXT_MAX]
    for character in plain:
        if not " " <= character <= "~":
            plain = plain.replace(character, "?")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def member(name, value):
    """A member of a JSON object; the value is JSON, or an integer."""
    return '"%s":%s' % (name, value)


def head(device_id, time_ms, seq, boot):
    """The members that name a message.

    Args:
        device_id: of this device.
        time_ms: since 1970, UTC.
        seq: number of the message since boot.
        boot: number of this boot.
    """
    return '"device_id":%s,"timestamp":%d,"ms":%d,"seq":%d,"boot":%d' % (
        text(device_id),
        time_ms // 1000,
        time_ms % 1000,
        seq,
        boot,
    )


def telemetry(named, window, setpoint, health, others=()):
    """A telemetry message, as bytes.

    Args:
        named: what `head` gives.
        window: the samples.
        setpoint: in 0.01 °C, or None.
        health: JSON members of the status group, as strings.
        others: what `values`, `counters` and `contacts` of `egiz_edge.channels` give.
    """
    groups = []
    electrical = _electrical(window)
    if electrical:
        groups.append(group("electrical", electrical))
    if window.zones:
        groups.append(_thermal(window, setpoint))
    groups.extend(others)
    status = list(health)
    if window.state:
        status.insert(0, member("operational_state", text(window.state)))
    if window.faults:
        status.append(names("fault_codes", window.faults))
    few = window.count()
    if few:
        status.append('"samples":%d,"samples_expected":%d' % few)
    groups.append(group("status", status))
    return ("{" + named + "," + ",".join(groups) + "}").encode()


def as_buffered(payload):
    """The same message, marked as buffered: it was sent after an outage."""
    return payload[:-1] + b',"buffered":true}'


def names(name, listed):
    """A member that lists fault codes or sensors: as many as the contract allows."""
    return member(name, "[" + ",".join([text(one) for one in listed[:CODES_MAX]]) + "]")


def status(device_id, state, boot, members=()):
    """A status message, as bytes; the last will has no members."""
    parts = [member("device_id", text(device_id)), member("state", text(state))]
    parts.append(member("boot", boot))
    parts.extend(members)
    return ("{" + ",".join(parts) + "}").encode()


def _electrical(window):
    members = []
    for name, quantity, digits in _PER_PHASE:
        phases = _phases(window.mean, quantity, digits)
        if phases:
            members.append(group(name, phases))
    energy = _phases(window.last.get, "e", 0)
    if energy:
        members.append(group("energy_wh", energy))
    for name, quantity, digits in _ALONE:
        value = window.mean(quantity)
        if value is not None:
            members.append(member(name, decimal(value, digits)))
    return members


def _phases(value_of, quantity, digits):
    members = []
    for phase in _PHASES:
        value = value_of(quantity + phase)
        if value is not None:
            members.append(member(phase, decimal(value, digits)))
    return members


def _thermal(window, setpoint):
    zones = []
    for zone in range(window.zones):
        value = window.mean("t%d" % zone)
        zones.append("null" if value is None else decimal(value, 2))
    members = [member("temperature_zones", "[" + ",".join(zones) + "]")]
    if setpoint is not None:
        members.append(member("setpoint", decimal(setpoint, 2)))
    return group("thermal", members)


def group(name, members):
    """A member that is an object, of members that are written."""
    return member(name, "{" + ",".join(members) + "}")
