"""The daemon that moves MQTT into InfluxDB or SQLite, and loses nothing."""
