"""What waits on this disk: batches and dead letters."""
