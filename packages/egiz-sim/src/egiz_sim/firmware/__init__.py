"""`egiz-sim firmware`: devices with the real firmware, at the simulated machines."""
