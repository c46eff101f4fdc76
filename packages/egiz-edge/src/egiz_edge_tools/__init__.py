"""Runs on the host: stages the firmware, and plays the hardware of a virtual board."""

from egiz_edge.report import FIRMWARE_VERSION

__version__: str = FIRMWARE_VERSION  # one for the package and its firmware
