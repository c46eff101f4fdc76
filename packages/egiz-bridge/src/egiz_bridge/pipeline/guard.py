"""Whatever a sink or a disk raises is an outage, never the end of a thread."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from egiz_bridge.batch import Row
from egiz_bridge.errors import (
    BridgeError,
    ConfigError,
    FileDamaged,
    FileReplaced,
    Rejected,
    Unavailable,
)
from egiz_bridge.pipeline.internal import place_of
from egiz_bridge.sinks.sink import FileSink, Sink

_log = structlog.get_logger()
_logged: set[str] = set()


class GuardedSink:
    """A sink that raises `Rejected` (from `write` only) and `Unavailable`, no other.

    It is opened by its first call, and again after an unexpected error: what
    state that error left is not known.
    """

    def __init__(
        self,
        name: str,
        open_sink: Callable[[], Sink],
        on_replaced: Callable[[FileReplaced], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._open_sink = open_sink
        self._on_replaced = on_replaced
        self._sink: Sink | None = None

    def open(self) -> None:
        """Open it now.

        Raises:
            ConfigError: a file of its table cannot be used.
            Unavailable: it raised another error.
        """
        try:
            self._sink = self._open_sink()
        except ConfigError:
            raise
        except BaseException as error:
            raise Unavailable(_described(self.name, error)) from error

    def write(self, rows: Sequence[Row]) -> None:
        """Store rows.

        Raises:
            Rejected, Unavailable: as `Sink.write`.
        """
        with self._guarded() as sink:
            sink.write(rows)

    def probe(self) -> None:
        """Ask whether it would accept writes; with a damaged file, it would.

        Raises:
            Unavailable: it would not.
        """
        try:
            with self._guarded() as sink:
                sink.probe()
        except FileDamaged:
            return  # its next write sets the file aside
        except Rejected as error:
            raise Unavailable(str(error)) from error

    def maintain(self) -> None:
        """Let it look after its file, if it has one.

        Raises:
            Unavailable: it accepts no writes now.
        """
        if self._sink is None or isinstance(self._sink, FileSink):
            with self._guarded() as sink:
                if isinstance(sink, FileSink):
                    sink.maintain()

    def close(self) -> None:
        """Close it; an error in this is logged, and changes nothing."""
        sink, self._sink = self._sink, None
        if sink is not None:
            with suppress(BridgeError), outage_on_error(self.name):
                sink.close()

    @contextmanager
    def _guarded(self) -> Iterator[Sink]:
        is_expected = False
        try:
            with outage_on_error(self.name):
                if self._sink is None:
                    self._sink = self._open_sink()
                try:
                    yield self._sink
                except BridgeError as error:
                    is_expected = True
                    if isinstance(error, FileReplaced):
                        self._on_replaced(error)
                    raise
                is_expected = True
        finally:
            if not is_expected:
                self.close()


@contextmanager
def outage_on_error(sink: str) -> Iterator[None]:
    """Turn each error of the block into `Unavailable`, other than `Rejected`.

    An unexpected one is logged once for each place that raises. Its own words
    are left out: they may hold a secret, as those of an HTTP library do.
    """
    try:
        yield
    except (Rejected, Unavailable):
        raise
    except BridgeError as error:  # a file of its table cannot be read
        raise Unavailable(str(error)) from error
    except BaseException as error:  # SystemExit, too, would end the thread
        reason = _described(sink, error)
        # Its frames lead back to it by the one that leaves this block (Python 3.13): a
        # cycle, which would keep the rows of a failed write.
        error.__traceback__ = None
        raise Unavailable(reason) from error


def _described(sink: str, error: BaseException) -> str:
    reason = getattr(error, "strerror", None)
    words = f": {reason}" if reason else ""
    place = place_of(error)
    text = f"unexpected {type(error).__name__}{words} at {place}"
    if place not in _logged:
        _logged.add(place)
        _log.error(
            "internal error: an outage of this sink, retrying; please report this;"
            " further ones from this place are only counted",
            sink=sink,
            why=text,
            frames="".join(traceback.format_tb(error.__traceback__)),
        )
    return text
