"""Why a check has no result."""


class CheckError(Exception):
    """It could not be done; the message says why, and what to do."""


class PortError(CheckError):
    """The port of the proxy cannot be used."""
