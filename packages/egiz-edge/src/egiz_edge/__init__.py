"""The firmware of a sensor board. Pure logic: only `ports` knows the hardware."""
