"""The key set: which keys may sign a release, by the word of the offline root key.

    egk1 root 384 BYTES
    (signature of the root key)egiz-keys NUMBER
    ID MODULUS

A line for each key, its modulus as 768 hexadecimal digits. The number only grows: a set
without a key that was revoked cannot be replaced by the one before.
"""

from egiz_edge.ota.signed import (
    KEY_SET,
    MODULUS_BYTES,
    NUMBER_MAX,
    Refused,
    Signed,
    is_id,
    number,
)

ROOT = "root"
KEYS_MAX = 8
_LINE_MAX = 800  # bytes


class KeySet:
    """A key set that the root key has signed.

    Attributes:
        number: of the set.
        moduli: id: modulus.

    Args:
        file: binary, at its start.
        root: the modulus of the root key.
        least: the lowest number that counts.

    Raises:
        Refused: with the reason.
    """

    def __init__(self, file, root, least=0):
        signed = Signed(file, KEY_SET)
        if signed.key != ROOT:
            raise Refused("the root key has not signed it")
        signed.check({ROOT: root})
        file.seek(signed.end)
        if file.read(1):
            raise Refused("too long")
        self.number, self.moduli = 0, {}
        for line, text in signed.lines(_LINE_MAX):
            self._add(line, text.split(" "))
        if not self.moduli:
            raise Refused("no keys")
        if self.number < least:
            raise Refused("key set %d, older than %d" % (self.number, least))

    def _add(self, line, words):
        try:
            key, value = words
            if line == 1:
                self.number = number(value, NUMBER_MAX)
                is_right = key == "egiz-keys" and self.number
            else:
                self.moduli[key] = modulus(value)
                is_right = is_id(key) and key != ROOT
        except ValueError:
            is_right = False
        if not is_right or len(self.moduli) != line - 1 or line - 1 > KEYS_MAX:
            raise Refused("line %d is damaged" % line)


def modulus(text):
    """The modulus of RSA-3072 that is spelt so; raises ValueError."""
    digits = "0123456789abcdef"
    if len(text) != MODULUS_BYTES * 2 or not all(char in digits for char in text):
        raise ValueError("no modulus")
    value = int(text, 16)
    if text[0] < "8" or not value & 1:
        raise ValueError("no modulus")
    return value
