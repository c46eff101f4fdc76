"""What the broker grants less of than the bridge asks for, and what that costs."""

from collections.abc import Iterator

from egiz_schema import limits

from egiz_bridge.mqtt.packets import ConnAck, Terms

# A topic of the contract is shorter than 100 bytes, the rest of a PUBLISH than 28.
_LARGEST_PUBLISH = limits.PAYLOAD_BYTES_MAX + 128
# The bridge asks for more; with less than a long weekend it is lost too easily.
_SESSION_NEEDED_S = 4 * 24 * 3600


def shortfalls(asked: Terms, granted: ConnAck) -> Iterator[str]:
    """A sentence for each; what a broker does not mention, it grants (3.2.2.3)."""
    expiry_s = granted.session_expiry_s
    needed_s = min(asked.session_expiry_s, _SESSION_NEEDED_S)
    if expiry_s is not None and expiry_s < needed_s:
        yield (
            f"it keeps the session for {expiry_s} s, not {needed_s}: what"
            " is published while the bridge is away for longer is lost; raise"
            " mqtt.max_session_expiry_interval_seconds (RabbitMQ),"
            " session-expiry max-interval (HiveMQ) or what your broker has for it"
        )
    if granted.keepalive_s is not None and granted.keepalive_s < asked.keepalive_s:
        yield (
            f"it wants a sign of life every {granted.keepalive_s} s, not"
            f" {asked.keepalive_s}: a shorter hang of the network ends the connection"
        )
    size = granted.maximum_packet_bytes
    if size is not None and size < _LARGEST_PUBLISH:
        yield (
            f"it accepts packets of at most {size} bytes, and the contract has some of"
            f" {_LARGEST_PUBLISH}: devices cannot publish these"
        )
    if granted.assigned_client_id:
        yield (
            f"it gave the bridge the client id {granted.assigned_client_id!r}: the next"
            " connection may not find the session"
        )
    if granted.maximum_qos == 0:
        yield "it passes messages on at QoS 0 only: devices' messages may be lost"
