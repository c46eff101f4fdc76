"""The shipped broker under the load that the PRD asks of it."""
