"""The messages of every measurement: three phases, three zones, 380 bytes."""

DEVICES = 1000

_PAYLOAD = (
    '{{"device_id":"{device}","timestamp":{time},"ms":{ms},"seq":{seq},"boot":3,'
    '"electrical":{{"voltage":{{"a":220.5,"b":229.8,"c":231.0}},'
    '"current":{{"a":15.2,"b":14.8,"c":15.5}},"power_factor":0.92}},'
    '"thermal":{{"temperature_zones":[185.0,190.0,188.5],"setpoint":190.0}},'
    '"status":{{"operational_state":"running","wifi_rssi":-65,"uptime_seconds":86400}}}}'
)


def message(device: str, time_ms: int, seq: int) -> tuple[str, bytes]:
    """Topic and payload."""
    seconds, ms = divmod(time_ms, 1000)
    payload = _PAYLOAD.format(device=device, time=seconds, ms=ms, seq=seq)
    return f"sensors/factory/{device}/telemetry", payload.encode()
