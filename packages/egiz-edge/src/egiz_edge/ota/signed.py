"""What is signed: a line, a signature, a text; releases and key sets are such.

The line is `KIND KEY BYTES-OF-SIGNATURE BYTES-OF-TEXT`. A signature is that of
RSA-3072, PKCS#1 v1.5 with SHA-256 (RFC 8017, 8.2), as `openssl dgst -sha256 -sign`
makes it, and covers the text. KEY is `-` where none is named. The host reads with this
code, too, so that both say the same of a file.
"""

import hashlib

RELEASE, KEY_SET = "egz1", "egk1"
MODULUS_BYTES = 384  # RSA-3072; the exponent is always 65537
LINE_MAX = 64  # bytes of the first line
TEXT_MAX = 16384
NUMBER_MAX = 4294967295
_CHUNK = 512
_EXPONENT = 65537
# DigestInfo of SHA-256 up to the digest itself (RFC 8017, 9.2).
_DIGEST_INFO = b"010\r\x06\t`\x86H\x01e\x03\x04\x02\x01\x05\x00\x04 "
_ID = "abcdefghijklmnopqrstuvwxyz0123456789_-"
NO_KEY = "-"


class Refused(ValueError):
    """The message is the reason, for a person; no file that gives it is used."""


class KeyRefused(Refused):
    """It may be sound, by a newer key set than the one at hand."""


class Signed:
    """The first line and the signature of a file, at whose start it is.

    Attributes:
        key: the id of the key, or `-`.
        start: where the text begins.
        end: where it ends.

    Args:
        file: binary, with readline, readinto and seek.
        kind: RELEASE or KEY_SET.

    Raises:
        Refused: if it is no such file.
    """

    def __init__(self, file, kind):
        self._file = file
        line = file.readline(LINE_MAX)
        self.key, size, text = first_line(line, kind)
        self._signature = exactly(file, size)
        self.start = len(line) + size
        self.end = self.start + text

    def check(self, moduli):
        """Raises Refused unless the key that is named, or else any, has signed it.

        Args:
            moduli: id: modulus, of the keys that count.
        """
        if not self._signature:
            raise Refused("not signed")
        if self.key != NO_KEY and self.key not in moduli:
            raise KeyRefused("unknown or revoked key %s" % self.key)
        digest = self._digest()
        for key in moduli:
            if self.key in (NO_KEY, key) and fits(self._signature, digest, moduli[key]):
                return
        raise Refused("wrong signature")

    def lines(self, longest):
        """Each line of the text as (its number, text): ASCII without the line's end.

        A line of more than `longest` bytes is damaged; so many are allocated for each.
        """
        at, number = self.start, 0
        while at < self.end:
            self._file.seek(at)  # whoever gets a line may read elsewhere
            line = self._file.readline(min(longest, self.end - at))
            at += len(line)
            number += 1
            yield number, _text(line, number)

    def _digest(self):
        self._file.seek(self.start)
        digest = hashlib.sha256()
        feed(self._file, self.end - self.start, digest.update)
        return digest.digest()


def first_line(line, kind):
    """(key id, bytes of the signature, bytes of the text), of a first line."""
    try:
        found, key, signature, text = _text(line, 1).split(" ")
        sizes = number(signature, MODULUS_BYTES), number(text, TEXT_MAX)
    except ValueError:
        found = ""
    if found != kind:
        raise Refused("not a release" if kind == RELEASE else "not a key set")
    if sizes[0] not in (0, MODULUS_BYTES) or not (key == NO_KEY or is_id(key)):
        raise Refused("its first line is damaged")
    return key, sizes[0], sizes[1]


def is_id(text):
    """Whether a key may have this id. One of a single character may not.

    A damaged byte could make the `-` of it that names no key.
    """
    return 2 <= len(text) <= 16 and all(char in _ID for char in text)


def number(text, most):
    """A number from 0 to `most`, in its only spelling; raises ValueError."""
    value = int(text)
    if str(value) != text or not 0 <= value <= most:
        raise ValueError(text)
    return value


def fits(signature, digest, modulus):
    """Whether the key of a modulus has signed a digest; compares the whole block."""
    value = int.from_bytes(signature, "big")
    if len(signature) != MODULUS_BYTES or value >= modulus:
        return False
    value = pow(value, _EXPONENT, modulus)  # needs the most memory, so it comes first
    filling = MODULUS_BYTES - len(_DIGEST_INFO) - len(digest) - 3
    block = b"\0\1" + b"\xff" * filling + b"\0" + _DIGEST_INFO + digest
    return value == int.from_bytes(block, "big")


def feed(file, size, put):
    """Give the next `size` bytes to `put`, in pieces; raises Refused if some lack."""
    buffer = memoryview(bytearray(min(_CHUNK, size)))
    while size:
        count = file.readinto(buffer[: min(_CHUNK, size)])
        if not count:
            raise Refused("cut short")
        put(buffer[:count])
        size -= count


def exactly(file, size):
    """The next `size` bytes; raises Refused if they are not there."""
    found = []
    feed(file, size, lambda piece: found.append(bytes(piece)))
    return b"".join(found)


def _text(line, number):
    try:
        text = line.decode()
    except ValueError:
        text = ""
    if text[-1:] != "\n" or not all(" " <= char <= "~" for char in text[:-1]):
        raise Refused("line %d is damaged" % number)
    return text[:-1]
