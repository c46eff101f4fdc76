"""The settings that a config message leads to on this device."""

_SAMPLING_MS = 1000
_PUBLISH_MS = 5000
_REPORT_MS = 60000  # between two status messages when nothing changes
_BUFFER_MESSAGES = 100
_PORT = 1883

_ROM_BYTES = 8


class ConfigError(ValueError):
    """A configuration that cannot be applied; args[0] says why."""


def resolve(config, given):
    """The settings that a valid config message leads to; raises ConfigError.

    The message is the whole desired configuration: what it does not name is as
    provisioned.

    Args:
        config: the message; its alerts are taken out of it.
        given: what was provisioned, see `Settings`.
    """
    host, port = _broker(config, given)
    ssid = _value("wifi_ssid", None, config, given)
    user, password = _credentials(host, port, ssid, given)
    return {
        "host": host,
        "port": port,
        "user": user,
        "password": password,
        "wifi_ssid": ssid,
        "sampling_rate_ms": _value("sampling_rate_ms", _SAMPLING_MS, config, given),
        "publish_rate_ms": _value("publish_rate_ms", _PUBLISH_MS, config, given),
        "report_rate_ms": _value("report_rate_ms", _REPORT_MS, config, given),
        # One message is always kept: the one that is being sent.
        "buffer_size": max(1, _value("buffer_size", _BUFFER_MESSAGES, config, given)),
        "zones": _zones(config, given),
        "alerts": _alerts(config.get("alerts")),
    }


def _value(name, default, config, given):
    for value in (config.get(name), given.get(name)):
        if value is not None:
            return value
    return default


def _broker(config, given):
    """Host and port; the config topic names both at once."""
    broker = config.get("mqtt_broker")
    if broker is None:
        return given["broker"], given.get("port") or _PORT
    host, _, port = broker.partition(":")
    port = port or str(_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("mqtt_broker: not host:port")
    return host, int(port)


def _credentials(host, port, ssid, given):
    """User and password, but for a broker or network that anybody may have named.

    Without TLS, whoever may write the config topic could have them sent to a host of
    his own. One with the address of ours is in a network of his own, which has no key:
    he does not know ours.
    """
    is_provisioned = (host, port) == (given["broker"], given.get("port") or _PORT)
    if ssid != given.get("wifi_ssid") and given.get("wifi_password") is None:
        is_provisioned = False
    if is_provisioned or given.get("tls") or given.get("password_for_any_broker"):
        return given.get("user"), given.get("password")
    return None, None


def _zones(config, given):
    """ROM ids, in the order of the names that their zones have."""
    named = config.get("zones")
    if named is None:
        roms = given.get("zones") or ()
    else:
        # A JSON object has no order, and none is kept on the device.
        roms = [rom for _, rom in sorted([(name, rom) for rom, name in named.items()])]
    return [_rom(rom) for rom in roms]


def _rom(text):
    try:
        rom = bytes.fromhex(text)
    except ValueError:
        rom = b""
    if len(rom) != _ROM_BYTES:
        raise ConfigError("zones.%s: not a ROM id" % text[:32])
    return rom


def _alerts(wanted):
    if not wanted:
        return None
    from egiz_edge.alerts import Alerts  # noqa: PLC0415  # most devices have none

    try:
        return Alerts(wanted)
    except ValueError as error:
        raise ConfigError(error.args[0])
