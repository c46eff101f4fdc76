"""The errors that msgspec raises, in the words of the contract."""

# The words of msgspec's own sentences tell the kind of error; the tests hold every
# release to them.
_RANGE = ("<=", ">=", "of length", "out of range")


def reason_of(error: Exception) -> str:
    """Of the reasons of the contract, ``range`` or ``type``."""
    return "range" if any(word in sentence_of(error) for word in _RANGE) else "type"


def sentence_of(error: Exception) -> str:
    """What was expected, without the place."""
    return str(error).partition(" - at `")[0]
