"""The whole ingestion layer on one machine, live: what `make demo` runs."""
