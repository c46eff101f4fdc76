"""Certificates, accounts, access list and limits of the broker."""

__version__ = "0.1.0"
