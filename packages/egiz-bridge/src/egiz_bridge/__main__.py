"""The entry point of `egiz-bridge`, and `python -m egiz_bridge`.

Imports nothing else, so that Ctrl-C is quiet while the program loads.
"""

from egiz_launch import launch


def main() -> None:
    """Run the program; ends with its exit code."""
    launch("egiz_bridge.cli.main")


if __name__ == "__main__":
    main()
