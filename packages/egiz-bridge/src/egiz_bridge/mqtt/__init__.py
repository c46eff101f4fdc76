"""The broker: packets, connection, certificates."""
