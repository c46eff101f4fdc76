"""Payloads that are nearly right: what a fuzz of decoders feeds on."""

import random
from collections.abc import Iterator

# Bytes that readers of JSON are known to disagree about.
_TOKENS = [
    *(b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"false", b"{}", b"[]"),
    *(
        b"1e999",
        b"-0",
        b"-0.0",
        b"1.0",
        b"1e5",
        b"01",
        b"5.",
        b".5",
        b"0x10",
        b"1e-400",
    ),
    *(
        b"9007199254740991",
        b"9007199254740992",
    ),
    *(b"18446744073709551616", b"9" * 400),
    *(b'""', b'"NaN"', b'"1"', b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"'),
    *(b"\xef\xbb\xbf", b"\xff", b"\xc0\xaf", b"\x00", b"\n", b"\x7f", b"\\u0076"),
    *(b"oven-001\\n", b"{" * 20, b"[" * 20, b'{"a":' * 17, b"x" * 70, b",", b":", b'"'),
    *(b'"v":1,', b'"v":2,', b'"v":1,"v":1,', b'"device_id":"oven-001",', b'"zz":9,'),
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
    at = rng.randint(0, len(payload))
    end = min(len(payload), at + rng.randint(0, 12))
    match rng.randrange(7):
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
        case 5:
            other = rng.choice(seeds)
            start = rng.randint(0, len(other))
            payload[at:at] = other[start : start + rng.randint(1, 40)]
        case _:
            _replace_value(payload, rng)


def _replace_value(payload: bytearray, rng: random.Random) -> None:
    """Put a token in the place of a whole value: the JSON stays sound."""
    colons = [index for index, byte in enumerate(payload) if byte == ord(":")]
    if not colons:
        return
    start = rng.choice(colons) + 1
    end = start
    while end < len(payload) and payload[end] not in b",}]":
        end += 1
    payload[start:end] = rng.choice(_TOKENS)
