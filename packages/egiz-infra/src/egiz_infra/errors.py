"""The errors of egiz-infra.

InfraError
├── Refused         the broker refused a connection
└── BrokerIsOpen    the broker allows what must be denied
"""


class InfraError(Exception):
    """Base of every error this package raises; its text says what to do."""


class Refused(InfraError):
    """The broker refuses this client, or cannot be reached."""


class BrokerIsOpen(InfraError):
    """The broker allows what must be denied."""
