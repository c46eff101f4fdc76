"""Loads the one test rig of all packages: see tests/rig."""

pytest_plugins = ["rig.plugin"]
