"""The whole thing on one machine, live: what `make demo` runs."""
