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
            and cert and key where the broker wants them; its port is often 8883),
            calibration (as `Sensors` takes it),
            ap_after (seconds without Wi-Fi until the board opens its own network; 0:
            never), and
            password_for_any_broker (whether a broker that a configuration names gets
            user and password also without TLS).

    Attributes:
        unusable: settings that cannot be used and are left out: name -> reason.
    """

    def __init__(self, given):
        from egiz_edge import settings_check  # noqa: PLC0415  # not kept, see unload

        settings_check.provision(self, given)

    def update(self, resolved):
        """Change to what `resolve` gives."""
        for name, value in resolved.items():
            setattr(self, name, value)
