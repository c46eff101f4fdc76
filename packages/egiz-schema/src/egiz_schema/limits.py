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
CURRENT_A = (-10000, 10000)  # a clamp around zero or on a main feeder, either way
FREQUENCY_HZ = (0, 1000)
POWER_FACTOR = (-1.1, 1.1)  # worked out of rounded values, it passes 1 a little
ACTIVE_POWER_W = (-10000000, 10000000)
TEMPERATURE_C = (-200, 1800)  # DS18B20 and thermocouples, in liquid nitrogen, too
DISCONNECTED_C = -127  # of a zone: DallasTemperature's word for a probe that is off
RSSI_DBM = (-127, 0)

# Measured values of other quantities, by a name of [a-z][a-z0-9_]*.
CHANNEL_NAME_MAX = 48
CHANNELS_MAX = 32  # of values, of counters and of contacts

# What readers know today. All are open sets: what is not here is kept and counted.
OPERATIONAL_STATES = ("running", "stopped", "fault")
DEVICE_STATES = (
    "online",
    "offline",
    "sleeping",
    "updating",
    "safe_mode",
    "provisioning",
)
OTA_STATES = (
    "waiting",
    "updating",
    "trial",
    "done",
    "rolled_back",
    "failed",
    "refused",
)

ZONES_MAX = 32
CODES_MAX = 32
ALERTS_MAX = 32
ARGUMENTS_MAX = 32
TEXT_MAX = 64  # characters, printable ASCII
SSID_BYTES_MAX = 32  # UTF-8 without control characters (IEEE 802.11, 9.4.2.2)
URL_MAX = 200  # characters, printable ASCII

SAMPLING_MS = (100, 3600000)
PUBLISH_MS = (100, 3600000)
REPORT_MS = (1000, 86400000)
BUFFER_MESSAGES = (0, 10000)


def is_text(text: str) -> bool:
    """Tell whether `text` is what line protocol and a terminal carry: printable ASCII.

    Its length is another matter.
    """
    for character in text:  # noqa: SIM110  # a generator costs heap on the device
        if not " " <= character <= "~":
            return False
    return True


def is_ssid(text: str) -> bool:
    """Tell whether `text` names a Wi-Fi network: UTF-8, no control characters."""
    if len(text.encode()) > SSID_BYTES_MAX:
        return False
    for character in text:
        if character < " " or "\x7f" <= character <= "\x9f":
            return False
    return True


def is_channel_name(text: str) -> bool:
    """Tell whether `text` names a value, counter or contact: ``humidity_room``.

    It begins with a letter of a-z; digits and ``_`` may follow.
    """
    if not 0 < len(text) <= CHANNEL_NAME_MAX or not "a" <= text[0] <= "z":
        return False
    for character in text:
        if not ("a" <= character <= "z" or "0" <= character <= "9" or character == "_"):
            return False
    return True
