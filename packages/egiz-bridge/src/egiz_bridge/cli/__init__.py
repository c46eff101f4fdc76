"""The commands of `egiz-bridge`."""
