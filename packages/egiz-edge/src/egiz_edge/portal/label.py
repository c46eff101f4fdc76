"""What is printed on a board, and lies in its store: `egiz-edge label` makes it."""


class Label:
    """What is printed on the board.

    Attributes:
        ssid: the name of its own network.
        key: of that network.
        pin: six digits, which the form asks for.
    """

    def __init__(self, ssid, key, pin):
        self.ssid, self.key, self.pin = ssid, key, pin


def read(store):
    """The `Label`, or None."""
    words = (store.get("label") or "").split(" ")
    return Label(words[0], words[1], words[2]) if len(words) == 3 else None
