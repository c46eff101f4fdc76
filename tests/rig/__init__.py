"""The test rig of all packages: real servers, real interpreters, no fixed waits."""
