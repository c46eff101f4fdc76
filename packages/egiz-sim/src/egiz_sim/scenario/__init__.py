"""Scenarios: what happens to a fleet and to what is behind it, as data."""
