"""A fleet of simulated devices, and a ledger of every message it sent."""

__version__ = "0.1.0"
