"""The shipped broker under the load of 1,000 devices and 10,000 messages a second."""
