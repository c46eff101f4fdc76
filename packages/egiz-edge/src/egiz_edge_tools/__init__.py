"""Runs on the host: stages the firmware, and plays the hardware of a virtual board."""
