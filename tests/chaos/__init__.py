"""Chaos: what goes wrong around a bridge, as data, and what must hold meanwhile."""
