"""The daemon that moves MQTT into InfluxDB or SQLite, and loses nothing."""

__version__ = "0.1.0"
