"""What the device is told: at provisioning, and later by its config topic."""

from egiz_schema import limits

SAMPLING_MS = 1000
PUBLISH_MS = 5000

_PERIODS = {
    "sampling_rate_ms": limits.SAMPLING_MS,
    "publish_rate_ms": limits.PUBLISH_MS,
}


class ConfigError(ValueError):
    """A configuration that cannot be applied; args[0] says why."""


class Settings:
    """Identity, broker and periods.

    Args:
        given: a dict with facility, device_id, broker (host), and optionally port,
            user, password, zones (list of ROM ids in hex), setpoint (0.01 °C), and the
            keys of the config topic.
    """

    def __init__(self, given):
        self.facility = given["facility"]
        self.device_id = given["device_id"]
        self.host = given["broker"]
        self.port = given.get("port", 1883)
        self.user = given.get("user")
        self.password = given.get("password")
        self.zones = [bytes.fromhex(rom) for rom in given.get("zones", ())]
        self.setpoint = given.get("setpoint")
        self.sampling_rate_ms = SAMPLING_MS
        self.publish_rate_ms = PUBLISH_MS
        self.apply(given)

    def apply(self, config):
        """Take over a config message, all of it or nothing; raises ConfigError."""
        if config.get("device_id") != self.device_id:
            raise ConfigError("device_id: not ours")
        for name, (low, high) in _PERIODS.items():
            value = config.get(name, low)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError("%s: not %d..%d" % (name, low, high))
        for name in _PERIODS:
            if name in config:
                setattr(self, name, config[name])
