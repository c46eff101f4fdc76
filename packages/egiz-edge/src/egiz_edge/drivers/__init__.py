"""Sensors: each driver takes a port object and gives scaled integers."""


class SensorError(Exception):
    """No reading; args[0] is the fault, as it is published after the sensor's name.

    Of all drivers: `no_reply`, and `crc` for what arrived damaged. A driver's own are
    told there.
    """
