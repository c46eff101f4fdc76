"""The settings of the device: as provisioned, and as its config topic changes them."""


class Settings:
    """Identity and credentials, and everything that a configuration can change.

    Args:
        given: a dict with facility, device_id, broker (host), and optionally port,
            user, password, wifi_ssid, wifi_password, zones (list of ROM ids in hex),
            setpoint (0.01 °C), sampling_rate_ms, publish_rate_ms and report_rate_ms,
            ntp (host or host:port; the broker's host if absent), thermocouples and
            states (as
            `Sensors` takes them), and tls (paths of DER files: ca,
            and cert and key where the broker wants them; its port is often 8883), and
            password_for_any_broker (whether a broker that a configuration names gets
            user and password also without TLS).

    Attributes:
        unusable: settings that cannot be used and are left out: name -> reason.
    """

    def __init__(self, given):
        from egiz_edge.effective_settings import resolve  # noqa: PLC0415  # not kept, see downlink
        from egiz_edge.settings_check import problems  # noqa: PLC0415

        self.unusable = problems(given)
        # A bad `tls` is kept: without it the device would connect in clear.
        self.given = given = {
            name: value
            for name, value in given.items()
            if name not in self.unusable or name == "tls"
        }
        self.facility = given["facility"]
        self.device_id = given["device_id"]
        self.wifi_password = given.get("wifi_password")
        self.setpoint = given.get("setpoint")
        self.thermocouples = given.get("thermocouples") or ()
        self.states = given.get("states")
        host, _, port = (given.get("ntp") or given["broker"]).partition(":")
        self.ntp = (host, int(port or 123))
        self.tls = given.get("tls")
        self.update(resolve({}, given))

    def update(self, resolved):
        """Change to what `resolve` gives."""
        for name, value in resolved.items():
            setattr(self, name, value)
