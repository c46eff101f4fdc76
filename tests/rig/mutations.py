"""Payloads that are nearly right: what a fuzz of decoders feeds on."""

import random
from collections.abc import Iterator

# What readers of JSON are known to disagree about: values and members, which leave the
# JSON sound ...
_VALUES = [
    *b"null true false {} [] [null] 0 -0 -0.0 1.0 1e5 1e999 1e-400 0.1 -1".split(),
    *b"9007199254740991 9007199254740992 18446744073709551616 1706352600".split(),
    *(b"9" * 400, b'{"a":1}', b'"%b"' % (b"x" * 64), b'"%b"' % (b"x" * 65)),
    *rb'"" "NaN" "1" "oven-001" "oven-001\n" "\u0000" "\ud83d\ude00"'.split(),
]
_MEMBERS = [
    *rb'"v":1, "v":2, "\u0076":1, "zz":9, "zz":"\udc00", "timestamp":0,'.split(),
    *rb'"device_id":"oven-001", "device_id":"oven-001\n", "status":{},'.split(),
]
# ... and bytes, which seldom do.
_TOKENS = [
    *(*_VALUES, *_MEMBERS, *b"NaN Infinity -Infinity 01 5. .5 0x10".split()),
    *(b"\xef\xbb\xbf", b"\xff", b"\xc0\xaf", b"\x00", b"\n", b"\x7f", rb"\ud800"),
    *(b"{" * 20, b"[" * 20, b'{"a":' * 17, b",", b":", b'"'),
]


def mutated(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` payloads, each a seed with one to four changes; the same for a seed."""
    rng = random.Random(seed)
    for _ in range(count):
        payload = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            _change(payload, rng, seeds)
        yield bytes(payload)


def _change(payload: bytearray, rng: random.Random, seeds: list[bytes]) -> None:
    match rng.randrange(5):
        case 0:
            _change_bytes(payload, rng, seeds)
        case 1:
            _insert_member(payload, rng)
        case _:
            _replace_value(payload, rng)


def _change_bytes(payload: bytearray, rng: random.Random, seeds: list[bytes]) -> None:
    at = rng.randint(0, len(payload))
    end = min(len(payload), at + rng.randint(0, 12))
    match rng.randrange(6):
        case 0 if at < len(payload):
            payload[at] ^= 1 << rng.randrange(8)
        case 1:
            payload[at:at] = rng.choice(_TOKENS)
        case 2:
            payload[at:end] = rng.choice(_TOKENS)
        case 3:
            del payload[at:end]
        case 4:
            payload[at:at] = payload[at:end]
        case _:
            other = rng.choice(seeds)
            start = rng.randint(0, len(other))
            payload[at:at] = other[start : start + rng.randint(1, 40)]


def _insert_member(payload: bytearray, rng: random.Random) -> None:
    braces = [index for index, byte in enumerate(payload) if byte == ord("{")]
    if braces:
        at = rng.choice(braces) + 1
        payload[at:at] = rng.choice(_MEMBERS)


def _replace_value(payload: bytearray, rng: random.Random) -> None:
    colons = [index for index, byte in enumerate(payload) if byte == ord(":")]
    if not colons:
        return
    start = rng.choice(colons) + 1
    end = start
    while end < len(payload) and payload[end] not in b",}]":
        end += 1
    payload[start:end] = rng.choice(_VALUES)
