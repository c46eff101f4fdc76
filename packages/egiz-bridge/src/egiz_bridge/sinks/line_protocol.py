"""Line protocol to a file, a pipe or stdout: for another database, or a look."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.files import probe_writable
from egiz_bridge.sinks.sink import FileSinkTable
from egiz_bridge.sinks.stream import WAIT_S, Stream

STDOUT = Path("-")
_STDOUT_DESCRIPTOR = 1
_WORDS = {
    errno.ENXIO: "no process reads this pipe; start its reader",
    errno.EPIPE: "the process that read it has ended; start it again",
    errno.ETIMEDOUT: f"the process that reads it has read nothing for {WAIT_S:.0f} s",
}


class LineProtocolTable(FileSinkTable):
    """Line protocol, appended to a file. Give the table and it is written to."""

    key: ClassVar[str] = "line_protocol"

    path: Path = Field(description="the file or named pipe, or - for stdout")

    def open(self) -> "LineProtocolSink":
        """The sink; its file is opened by each write."""
        return LineProtocolSink(self.path)


class LineProtocolSink:
    """Appends; a file is opened for each batch, so that it may be rotated.

    A pipe stays open: its reader would take each end of a batch for the end of all. So
    does one that was opened by a probe, for the sink that will write.
    """

    name = "line_protocol"
    _probed: ClassVar[dict[Path, Stream]] = {}

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: Stream | None = None

    def write(self, rows: Sequence[Row]) -> None:
        """Append one line for each row, precision ms; fsynced, if it is a file."""
        lines = [row.line + b"\n" for row in rows]
        with self._errors():
            if stream := self._stream_now():
                stream.write(lines)
                return
            descriptor = self._open()
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                try:
                    self._append(descriptor, b"".join(lines))
                finally:
                    os.close(descriptor)
            else:
                self._stream = Stream(descriptor)
                self._stream.write(lines)

    def probe(self) -> None:
        """Ask whether it may be written; of a pipe, whether a process reads it."""
        if self._path == STDOUT:
            return
        probe_writable(self._path)
        with self._errors():
            is_stream = self._path.exists() and not self._path.is_file()
            if is_stream and not self._stream_now():
                self._stream = Stream(self._open())

    def close(self) -> None:
        """Close the pipe, if it is one that was written to."""
        stream, self._stream = self._stream, None
        if stream and not stream.is_used:
            left, self._probed[self._path] = self._probed.get(self._path), stream
            stream = left
        if stream:
            stream.close()

    def _stream_now(self) -> Stream | None:
        """The open pipe, if it is still what stands at the path."""
        self._stream = self._stream or self._probed.pop(self._path, None)
        if self._stream and self._path != STDOUT and not self._stream.is_at(self._path):
            self._drop_stream()
        return self._stream

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            stream.close()

    def _open(self) -> int:
        """A descriptor of a file, a pipe or a terminal, to be closed by the caller."""
        if self._path == STDOUT:
            return os.dup(_STDOUT_DESCRIPTOR)
        if self._path.is_block_device() or self._path.is_socket():
            raise OSError(errno.EINVAL, "is neither a file nor a pipe")
        # A pipe without a reader is an error then, and no wait without an end.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._path, flags, 0o666)

    def _append(self, descriptor: int, body: bytes) -> None:
        begin = os.lseek(descriptor, 0, os.SEEK_END)
        if begin and self._ends_in_half_a_line():
            body = b"\n" + body
        try:
            left = memoryview(body)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, begin)  # no half of a line
                os.lseek(descriptor, begin, os.SEEK_SET)  # stdout keeps its position
            raise
        if not os.fstat(descriptor).st_nlink:
            raise OSError(errno.ENOENT, "it was removed while it was written")

    def _ends_in_half_a_line(self) -> bool:
        """Whether a crash of the machine, or another program, has left one."""
        path = Path("/dev/stdout") if self._path == STDOUT else self._path
        try:
            with path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read() != b"\n"
        except OSError:  # it may be written, and not read
            return False

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn those of the system into `Unavailable`."""
        try:
            yield
        except OSError as error:
            if not isinstance(error, TimeoutError):
                self._drop_stream()
            why = _WORDS.get(error.errno or errno.ETIMEDOUT, error.strerror)
            raise Unavailable(f"{self._path}: {why}") from error
