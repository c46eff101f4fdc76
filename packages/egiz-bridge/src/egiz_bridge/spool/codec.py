"""A batch of messages to bytes and back: the one place where the two are."""

import zlib
from collections.abc import Sequence

import msgspec

from egiz_bridge.batch import Message

_LEVEL = 1  # of zlib: level 9 makes little less of it, and needs many times longer
_decoder = msgspec.msgpack.Decoder(list[Message])


class Undecodable(Exception):  # of a body, not of the program
    """The bytes are no batch."""


def encode(messages: Sequence[Message]) -> bytes:
    """MessagePack, compressed."""
    return zlib.compress(msgspec.msgpack.encode(messages), _LEVEL)


def decode(body: bytes) -> list[Message]:
    """The messages of a body.

    Raises:
        Undecodable: it is damaged.
    """
    try:
        return _decoder.decode(zlib.decompress(body))
    except (zlib.error, msgspec.DecodeError) as error:
        raise Undecodable(str(error)) from error
