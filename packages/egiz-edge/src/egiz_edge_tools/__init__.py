"""Runs on the host: stages the firmware, and plays the hardware of a virtual board."""


def __getattr__(name: str) -> str:
    """`__version__`, one for the package and its firmware.

    Read when it is wanted: the firmware imports the contract, which takes 0.1 s, and
    the entry point of `egiz-edge` must be quick.
    """
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from egiz_edge.report import FIRMWARE_VERSION  # noqa: PLC0415  # as above

    return FIRMWARE_VERSION
