"""The firmware beside stock umqtt.simple, and against its own targets."""
