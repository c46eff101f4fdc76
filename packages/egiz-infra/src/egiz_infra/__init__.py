"""Certificates, accounts, access list and limits of the broker."""
