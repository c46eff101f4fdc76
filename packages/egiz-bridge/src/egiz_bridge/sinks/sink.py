"""What a sink is: a table of settings that opens it, and an object that writes."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Protocol, Self, runtime_checkable

from egiz_schema import Kind
from pydantic import AfterValidator, Field

from egiz_bridge.batch import Row
from egiz_bridge.config.tables import IN_ONE_LINE, FacilityNames, Table, WithFile

# What is archived by default.
ALL_READINGS: tuple[Kind, ...] = ("telemetry", "status")


class Sink(Protocol):
    """A database. All methods of one object are called from one thread."""

    name: str

    def write(self, rows: Sequence[Row]) -> None:
        """Store rows durably; writing them twice stores them once.

        Raises:
            Rejected: some of them can never be stored, or the request is wrong; what
                it names decides (see `errors.Rejected`). Others may have been stored.
            Unavailable: they may be stored later.
        """

    def probe(self) -> None:
        """Ask whether it would accept writes, without writing or making anything.

        `run` asks at its start and in an outage, `check` when it is called.

        Raises:
            ConfigError: naming the key.
            Unavailable: it would not, with the server's words.
            Refused: it may not; a write is the only way to find out.
        """

    def close(self) -> None:
        """Close connections and files."""


@runtime_checkable
class FileSink(Sink, Protocol):
    """A sink that keeps a file open, which others may remove, move or damage."""

    def maintain(self) -> None:
        """Look after the file; called every two seconds while there is no outage.

        Raises:
            FileReplaced: it is not what it was; the next write begins a new one.
            Unavailable: it cannot be written.
        """


def _at_least_one(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    if not kinds:
        raise ValueError("at least one is needed")
    return kinds


class SinkTable(Table):
    """The settings of a sink; a subclass adds its own, and `open`.

    Attributes:
        key: of the table in the configuration.
        where: the key that says where it writes; `check` names it.
        is_repeatable: whether there may be several, each with a `name` of its own.
        name: in metrics, logs and the spool.
    """

    key: ClassVar[str]
    where: ClassVar[str]
    is_repeatable: ClassVar[bool] = False

    kinds: Annotated[tuple[Kind, ...], *IN_ONE_LINE, AfterValidator(_at_least_one)] = (
        Field(
            default=ALL_READINGS,
            description="which messages it gets: telemetry, status, config, command",
        )
    )
    facilities: FacilityNames = Field(
        default=(), description="of which facilities; none given means all"
    )

    @property
    def sink_name(self) -> str:
        """What it is called in metrics, logs and the spool."""
        return self.key

    def open(self) -> Sink:
        """The sink; it is not connected yet.

        Raises:
            ConfigError: a file that the table names cannot be read.
        """
        raise NotImplementedError

    def for_shard(self, index: int) -> Self:
        """What the `index`-th bridge of several writes to: the same, or a file."""
        del index
        return self


class FileSinkTable(WithFile, SinkTable):
    """The settings of a sink that writes to a file; each shard has its own."""

    where: ClassVar[str] = "path"

    def for_shard(self, index: int) -> Self:
        """The same sink with a numbered file."""
        return self.numbered(index)
