"""The errors of the bridge.

BridgeError
├── ConfigError     the configuration cannot be used; one problem a key
├── MqttError       the broker refused, broke off or broke the protocol
├── Rejected        the database refuses a request, mostly for some of its rows
└── Unavailable     the database, or the disk, may accept them later
    ├── Refused         the database answers, and refuses a request without rows
    ├── SpoolFull       the spool is at `spool.max_bytes`
    ├── FileDamaged     an SQLite file can be read no more
    └── FileReplaced    a sink has lost its file, or set it aside; it begins a new one
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from egiz_bridge.printable import escaped

# Reasons of dead letters that a database refused; others are those of egiz_schema.
REJECTED = "rejected"
FIELD_TYPE_CONFLICT = "field_type_conflict"
BEYOND_RETENTION = "beyond_retention"


class BridgeError(Exception):
    """Base of every error this package raises."""


class ConfigError(BridgeError):
    """The configuration cannot be used.

    Attributes:
        problems: one sentence each, starting with the name of the key.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = [escaped(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


class MqttError(BridgeError):
    """The broker refused, broke off, or broke the protocol.

    Attributes:
        wants_older_protocol: the broker does not speak the version it was asked for.
        is_refusal: it will go on like this until someone changes a setting.
        is_takeover: another client connected with our client id.
    """

    def __init__(
        self,
        message: str,
        *,
        wants_older_protocol: bool = False,
        is_refusal: bool = False,
        is_takeover: bool = False,
    ) -> None:
        super().__init__(message)
        self.wants_older_protocol = wants_older_protocol
        self.is_refusal = is_refusal
        self.is_takeover = is_takeover


class Blame(NamedTuple):
    """What a database says is wrong: a row, a field, or a field of one row.

    Attributes:
        row: which row of the request, from 0; nothing if it is not said.
        measurement: of the field; empty if only the row says it.
        field: its name; empty if it is the row as a whole.
        type: of the value that was sent (float, integer, string, boolean); empty: any.
        is_lasting: whether such a field is refused in every row, whatever its value.
        is_sure: whether the row was quoted, and not only numbered.
    """

    row: int | None = None
    measurement: str = ""
    field: str = ""
    type: str = ""
    is_lasting: bool = False
    is_sure: bool = False


class Rejected(BridgeError):
    """The database refuses a request; what it said decides what follows.

    Attributes:
        reason: for the dead letters.
        blames: the rows and fields that it names.
        dropped: how many rows it says that it left out; 0: not said.
        is_about_rows: whether it speaks of rows at all. If not, the cause may as well
            be an address, a name or a proxy, and nothing may become a dead letter.
        is_too_large: whether a smaller request may be accepted.
    """

    def __init__(  # all but the message by name
        self,
        message: str,
        *,
        reason: str = REJECTED,
        blames: Sequence[Blame] = (),
        dropped: int = 0,
        is_about_rows: bool = True,
        is_too_large: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.blames = tuple(blames)
        self.dropped = dropped
        self.is_about_rows = is_about_rows
        self.is_too_large = is_too_large

    @property
    def is_named(self) -> bool:
        """Whether a row, a field or a fault of its own is named.

        "partial write" alone is not: a limit of the database is as well said so.
        """
        return bool(self.blames) or self.reason != REJECTED


class Unavailable(BridgeError):
    """The database, or the disk, may accept these rows later.

    Attributes:
        retry_after_s: seconds to wait, from Retry-After; 0 without one.
        may_be_size: whether fewer rows in a request may get through.
    """

    def __init__(
        self, message: str, retry_after_s: float = 0.0, *, may_be_size: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.may_be_size = may_be_size

    def without_frames(self) -> Self:
        """As it is kept: frames, of its causes too, hold the rows of a failed write.

        Kept in a frame, it would be a cycle, and those wait for the next collection.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class Refused(Unavailable):
    """The database answers a probe, and refuses it: only a row can show more."""


class SpoolFull(Unavailable):
    """The spool is at `spool.max_bytes`: the rest waits at the broker."""


class FileDamaged(Unavailable):
    """An SQLite file can be read no more; whoever writes it sets it aside."""


class FileReplaced(Unavailable):
    """The file of a sink is not what it was; the next write begins a new one.

    Attributes:
        is_damaged: it was damaged and set aside; else removed, moved or replaced.
    """

    def __init__(self, message: str, *, is_damaged: bool) -> None:
        super().__init__(message)
        self.is_damaged = is_damaged
