"""The errors of the bridge.

BridgeError
├── ConfigError     the configuration cannot be used; one problem a key
├── MqttError       the broker refused, broke off or broke the protocol
├── Rejected        the database will never accept these rows
└── Unavailable     the database, or the disk, may accept them later
    ├── SpoolFull       the spool is at `spool.max_bytes`
    └── SpoolDamaged    the spool's file was set aside, and a new one begun
"""


class BridgeError(Exception):
    """Base of every error this package raises."""


class ConfigError(BridgeError):
    """The configuration cannot be used.

    Attributes:
        problems: one sentence each, starting with the name of the key.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MqttError(BridgeError):
    """The broker refused, broke off, or broke the protocol.

    Attributes:
        wants_older_protocol: the broker does not speak the version it was asked for.
    """

    def __init__(self, message: str, *, wants_older_protocol: bool = False) -> None:
        super().__init__(message)
        self.wants_older_protocol = wants_older_protocol


class Rejected(BridgeError):
    """The database will never accept these rows: some of them are bad."""


class Unavailable(BridgeError):
    """The database, or the disk, may accept these rows later.

    Attributes:
        retry_after_s: seconds to wait, from Retry-After; 0 without one.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SpoolFull(Unavailable):
    """The spool is at `spool.max_bytes`: the rest waits at the broker."""


class SpoolDamaged(Unavailable):
    """The spool's file was damaged: it is set aside, and a new one is begun."""
