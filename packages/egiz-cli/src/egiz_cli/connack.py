"""Why a broker refuses a connection: the codes of CONNACK in words.

Source: the return codes of MQTT 3.1.1, section 3.2.2.3 (1 to 5), and the reason codes
of MQTT 5, section 3.2.2.2 (128 and above), both of OASIS. The firmware has the former
in its own code, since nothing of this package is on a board.
"""

_REFUSALS = {
    1: "unsupported protocol version",
    2: "client id refused",
    3: "broker not available",
    4: "bad user name or password",
    5: "not authorised",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client id refused",
    0x86: "bad user name or password",
    0x87: "not authorised",
    0x88: "broker not available",
    0x89: "broker busy",
    0x8A: "banned",
    0x8C: "bad authentication method",
    0x90: "topic name of the last will refused",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x99: "payload of the last will is not in its format",
    0x9A: "retained messages not supported",
    0x9B: "QoS not supported",
    0x9C: "use another broker",
    0x9D: "the broker has moved",
    0x9F: "connection rate exceeded",
}


def explain_refusal(code: int) -> str:
    """The reason in words; `code 0x..` of a code that no version has."""
    return _REFUSALS.get(code, f"code 0x{code:02x}")
