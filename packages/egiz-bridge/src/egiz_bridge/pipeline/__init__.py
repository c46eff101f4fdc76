"""A message's way from its packet to its sink and its PUBACK."""
