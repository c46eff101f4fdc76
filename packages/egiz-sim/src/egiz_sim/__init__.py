"""A fleet of simulated devices, and a ledger of every message it sent."""
