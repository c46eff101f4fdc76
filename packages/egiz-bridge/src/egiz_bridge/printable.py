"""What others have written, in a form that a log or a terminal can show."""

TOPIC_MAX = 120


def printable(text: str, length_max: int = TOPIC_MAX) -> str:
    """A text in one line: control characters are escaped, and a long one is cut."""
    cut = text[:length_max]
    return f"{escaped(cut)}{'...' * (len(text) > len(cut))}"


def escaped(text: str) -> str:
    """Without control characters, which a terminal would follow."""
    if text.isprintable():  # as nearly always
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
