"""The load table of the requirements: target beside measured."""
