"""Settings: their tables, files and secrets."""
