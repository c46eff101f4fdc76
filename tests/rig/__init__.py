"""The test rig of all packages: real servers, real interpreters, honest waiting."""
