"""The errors of egiz-infra.

InfraError
├── Refused         the broker refused a connection
│   └── NoAnswer    it did neither that nor accept it in time
└── BrokerIsOpen    the broker allows what must be denied
"""


class InfraError(Exception):
    """Base of every error this package raises; its text says what to do."""


class Refused(InfraError):
    """The broker refuses this client, or cannot be reached."""


class NoAnswer(Refused):
    """The broker was too slow to answer, so that nothing is proved."""


class BrokerIsOpen(InfraError):
    """The broker allows what must be denied."""
