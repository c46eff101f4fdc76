"""The limits of the broker, derived from the load of a factory.

Where a limit is too low, Mosquitto loses messages silently: the publisher gets its
PUBACK all the same. So the numbers of `infra/mosquitto/mosquitto.conf` are derived
here, and a test compares them. What a message and a client cost was measured on
Mosquitto 2.0.11, 64-bit, by `bench/broker`.
"""

from dataclasses import dataclass
from math import ceil

from egiz_schema.limits import PAYLOAD_BYTES_MAX

# What a message or a client occupies beside its payload.
MESSAGE_BYTES = 340
CLIENT_BYTES = 24_000  # with mutual TLS 1.3, P-256
BROKER_BYTES = 10_000_000
# A client that begins TLS and stops; it has shown no certificate, and stays for 95 s.
# 45,000 with OpenSSL 3.0 (Debian 12), 54,000 to 59,000 with 3.5 (Debian 13), 66,000
# with 3.6.
HALF_OPEN_BYTES = 60_000

# 65,535 packet ids; that value itself means "no limit" to Mosquitto, and then ids are
# used twice.
INFLIGHT_MAX = 65_534

# A payload that breaks the contract by its size should still come through, and become
# a dead letter that names its device.
_PACKET_PER_PAYLOAD = 16
_INFLIGHT_MARGIN = 1.5
# Each connection is an open file: of devices, of those that connect again before the
# broker noticed that they were away, and of services.
_FILES_PER_CLIENT = 1.25
_FILES_BESIDE = 500
_MIB = 1 << 20
_MEMORY_STEP = 128 * _MIB
_MEMORY_MARGIN = 1.2


@dataclass(frozen=True, slots=True)
class Load:
    """The load of the broker.

    Attributes:
        rate: messages a second, over all devices.
        payload: bytes of one message; the mean.
        outage: seconds for which the slowest subscriber may be away.
        clients: connected devices.
        ack_delay: seconds from a message until a subscriber acknowledges it: the bridge
            waits for its batch, and for the database.
    """

    rate: int = 10_000
    payload: int = 380
    outage: int = 30
    clients: int = 1_000
    ack_delay: float = 1.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration says, and the memory that it may need (bytes).

    Attributes:
        memory: of queues and clients.
        open_files: LimitNOFILE of the service: what is more than the clients may be
            half-open connections, which anybody in the network can make.
        memory_max: MemoryMax of the service: all of it, with a margin.
    """

    max_inflight_messages: int
    max_queued_messages: int
    max_queued_bytes: int
    max_packet_size: int
    memory: int
    open_files: int
    memory_max: int

    def as_service(self) -> str:
        """What the service manager must allow."""
        return f"LimitNOFILE={self.open_files} MemoryMax={self.memory_max // _MIB}M"

    def as_configuration(self) -> str:
        """The lines of mosquitto.conf."""
        return "".join(
            f"{name} {getattr(self, name)}\n"
            for name in self.__slots__
            if name.startswith("max_")
        )


def derive(load: Load) -> Limits:
    """Compute the limits; each is rounded up to a number that one can remember.

    Raises:
        ValueError: if that much cannot be in flight on one connection.
    """
    inflight = _round_up(ceil(load.rate * load.ack_delay * _INFLIGHT_MARGIN))
    if inflight > INFLIGHT_MAX:
        raise ValueError(
            f"{load.rate} messages/s with {load.ack_delay} s to acknowledge one need"
            f" {inflight} in flight, and MQTT has packet ids for {INFLIGHT_MAX}:"
            " divide the load by facility"
        )
    queued = _round_up(load.rate * load.outage)
    each = load.payload + MESSAGE_BYTES
    memory = BROKER_BYTES + load.clients * CLIENT_BYTES + (queued + inflight) * each
    files = _round_up(ceil(load.clients * _FILES_PER_CLIENT) + _FILES_BESIDE, 2)
    most = memory + (files - load.clients) * HALF_OPEN_BYTES
    memory_max = ceil(most * _MEMORY_MARGIN / _MEMORY_STEP) * _MEMORY_STEP
    return Limits(
        max_inflight_messages=inflight,
        max_queued_messages=queued,
        max_queued_bytes=1 << (queued * load.payload - 1).bit_length(),
        max_packet_size=PAYLOAD_BYTES_MAX * _PACKET_PER_PAYLOAD,
        memory=memory,
        open_files=files,
        memory_max=memory_max,
    )


def _round_up(number: int, digits: int = 1) -> int:
    """To so many significant digits: 16,500 is 20,000, or 17,000 to two."""
    unit = int(10 ** max(0, len(str(number)) - digits))
    return ceil(number / unit) * unit
