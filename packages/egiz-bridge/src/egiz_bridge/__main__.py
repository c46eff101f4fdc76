"""The entry point of `egiz-bridge`, and `python -m egiz_bridge`.

Imports nothing else, so that Ctrl-C is quiet while the program loads.
"""

import signal
import sys

from egiz_launch import launch


class EarlyHangup:
    """A SIGHUP while `run` loads, which takes up to seconds, is noted and ends nothing.

    Attributes:
        came: whether there was one; the configuration may have been read before it.
    """

    def __init__(self) -> None:
        self.came = False

    def __call__(self, *_: object) -> None:
        """Handle the signal."""
        self.came = True


def main() -> None:
    """Run the program; ends with its exit code."""
    if sys.argv[1:2] == ["run"]:
        signal.signal(signal.SIGHUP, EarlyHangup())
    launch("egiz_bridge.cli.main")


if __name__ == "__main__":
    main()
