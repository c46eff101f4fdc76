"""The errors of egiz-infra.

InfraError
├── Refused         the broker refused a connection
└── BrokerIsOpen    the broker lets through what must be denied
"""


class InfraError(Exception):
    """Base of every error this package raises; its text says what to do."""


class Refused(InfraError):
    """The broker does not let this client in, or cannot be reached."""


class BrokerIsOpen(InfraError):
    """The broker lets through what must be denied."""
