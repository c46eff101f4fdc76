"""The limits of the contract, in the units of the wire.

This file imports nothing and keeps to the MicroPython subset: the very same file runs
on the device and on the server. A range catches nonsense, not an unusual plant.
Pairs are (lowest, highest), both allowed.
"""

WIRE_VERSION = 1
PAYLOAD_BYTES_MAX = 4096
DEPTH_MAX = 16  # objects and lists within each other; the contract needs 4

# Integers stay exact in every JSON reader only up to 2^53 - 1.
INTEGER_MAX = 9007199254740991
U32_MAX = 4294967295

TIMESTAMP_S = (1577836800, 4102444800)  # 2020-01-01 to 2100-01-01, UTC
MS = (0, 999)

VOLTAGE_V = (0, 1000)
CURRENT_A = (0, 1000)
FREQUENCY_HZ = (0, 1000)
POWER_FACTOR = (-1, 1)
ACTIVE_POWER_W = (-1000000, 1000000)
TEMPERATURE_C = (-100, 1800)  # DS18B20 and thermocouples
RSSI_DBM = (-127, 0)

# What readers know today. Both are open sets: what is not here is kept and counted.
OPERATIONAL_STATES = ("running", "stopped", "fault")
DEVICE_STATES = ("online", "offline", "sleeping")

ZONES_MAX = 32
CODES_MAX = 32
ALERTS_MAX = 32
ARGUMENTS_MAX = 32
TEXT_MAX = 64  # characters, printable ASCII

SAMPLING_MS = (100, 3600000)
PUBLISH_MS = (100, 3600000)
BUFFER_MESSAGES = (0, 10000)
