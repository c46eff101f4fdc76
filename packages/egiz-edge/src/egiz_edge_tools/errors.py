"""Errors that a user can mend; the command line shows these.

ToolError
├── BrokerError   a broker cannot be reached, or refuses us
├── BundleError   a source file does not compile, or a bundle is damaged
├── ReleaseError  keys or a release cannot be made or used
├── SettingsError a device cannot start with these settings
└── PortError     a board cannot be reached, or does not answer as it should
"""


class ToolError(Exception):
    """The message is for the user."""


class SettingsError(ToolError):
    """Names file and field, and no value: some are secrets."""


class BundleError(ToolError):
    """A file that does not compile, or a directory that is not a valid bundle."""


class BrokerError(ToolError):
    """Names the cause and the fix, never a password."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}\n  {fix}")
        self.cause, self.fix = cause, fix


class PortError(ToolError):
    """Names the port, the cause and the fix.

    Args:
        port: as the user gave it.
        cause: what happened.
        fix: what to do about it.
    """

    def __init__(self, port: str, cause: str, fix: str) -> None:
        super().__init__(f"{port}: {cause}\n  {fix}")
        self.port, self.cause, self.fix = port, cause, fix


class ReleaseError(ToolError):
    """Keys or a release cannot be made or used; never with a passphrase in it."""
