"""The portal: a phone gives the board its settings, over the board's own network."""
