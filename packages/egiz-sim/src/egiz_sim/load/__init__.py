"""`egiz-sim load`: an open-loop load, and what became of each of its messages."""
