"""Sensors: each driver gets a port object and gives scaled integers."""


class SensorError(Exception):
    """No reading; args[0] is the fault, as it is published after the sensor's name.

    All drivers have `no_reply`, and `crc` for damaged data. Further faults are listed
    in each driver.
    """
