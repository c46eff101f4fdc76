"""Sensors: each driver takes a port object and gives scaled integers."""
