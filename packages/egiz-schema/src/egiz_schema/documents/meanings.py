"""What a field means where its type says only its form.

A type of `egiz_schema.types` says what the quantity is, wherever it is used. A text or
a truth value has as many meanings as it has uses: they are here, by struct and
field, and nowhere else.
"""

MEANINGS: dict[tuple[str, str], str] = {
    ("Telemetry", "buffered"): "Replayed after an outage: history, not current state",
    ("Thermal", "setpoint"): "Temperature that is wanted",
    ("Health", "time_synced"): "Whether the clock of the device is set",
    ("AppliedConfig", "applied"): "Whether the device runs it",
    ("AppliedConfig", "error"): "Why it was refused",
    ("RefusedConfig", "error"): "Why it was refused",
    ("Channel", "unit"): "UCUM code; without it, the usual unit of the quantity",
    ("CommandResult", "id"): "Of the command",
    ("CommandResult", "result"): "How it ended; an open set",
    ("CommandResult", "error"): "Why it failed or was refused",
    ("Ota", "version"): "Firmware version to be installed",
    ("Ota", "error"): "Why it failed",
    ("Status", "schema"): "Wire major that the firmware writes",
    ("Status", "firmware_version"): "Firmware version that runs",
    ("Status", "reset_cause"): "Why the device booted",
    ("Status", "ip"): "Address in the Wi-Fi network",
    ("Status", "board"): "Chip id, which outlives firmware and settings",
    ("Firmware", "version"): "Firmware version that is wanted",
    ("Firmware", "url"): "Directory from which the release is fetched",
    ("Firmware", "percent"): "Share of the devices that obey",
    ("Firmware", "window"): "When the device may update, as 22:00-04:00, UTC",
    ("Config", "wifi_ssid"): "Wi-Fi network to join",
    ("Config", "mqtt_broker"): "host:port of the broker",
    ("Command", "id"): "Names the command: a repeated one is refused",
}
