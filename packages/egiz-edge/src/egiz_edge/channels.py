"""The members of a payload whose names a device chooses, from scaled integers.

Apart from `payloads`: only a device that has such a sensor loads it.
"""

from egiz_schema.limits import CHANNELS_MAX, is_channel_name

from egiz_edge.payloads import decimal, text


def values(readings):
    """The member of measured values: (name, scaled integer or None, decimal digits).

    None was not read. A name is as `channels` allows, the same for ever; as many as
    the contract allows are written.
    """
    return _members(
        "values",
        [(n, "null" if v is None else decimal(v, digits)) for n, v, digits in readings],
    )


def counters(readings):
    """The member of counters: (name, integer or None)."""
    return _members(
        "counters", [(n, "null" if v is None else str(v)) for n, v in readings]
    )


def contacts(readings):
    """The member of contacts: (name, True, False or None); True is open, or on."""
    written = {True: "true", False: "false", None: "null"}
    return _members("contacts", [(n, written[v]) for n, v in readings])


def channels(declared):
    """The member of a birth that declares them: (name, quantity, UCUM unit or None).

    Without a unit it is the usual one of the quantity (the data dictionary has both).

    Raises:
        ValueError: a name that readers would leave out.
    """
    described = []
    for name, quantity, unit in declared:
        if not is_channel_name(name):
            raise ValueError("no name of a channel: " + name)
        member = '{"quantity":' + text(quantity)
        if unit is not None:
            member += ',"unit":' + text(unit)
        described.append('"' + name + '":' + member + "}")
    return '"channels":{' + ",".join(described) + "}"


def _members(group, written):
    named = ['"' + n + '":' + value for n, value in written[:CHANNELS_MAX]]
    return '"' + group + '":{' + ",".join(named) + "}"
