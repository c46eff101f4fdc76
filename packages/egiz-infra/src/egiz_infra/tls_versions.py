"""Which version of TLS each device speaks, by the log of the broker.

Mosquitto 2.1 names it whenever a client connects. 2.0 does not: then it is unknown, as
it is of a device that has not connected for as long as the log goes back. Unknown ones
are counted, so that 1.2 is not turned off while a device may need it.
"""

import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator

from egiz_cli import child_process

from egiz_infra.authority import Authority
from egiz_infra.errors import InfraError
from egiz_infra.programs import reason_of
from egiz_infra.register import devices, issued

UNKNOWN = "unknown"

_NEGOTIATED = re.compile(r"Client (\S+) negotiated TLSv(1\.[23]) cipher ")
_METRIC = "egiz_tls_devices"


def log_lines(command: str) -> Iterator[str]:
    """What the command prints, line by line.

    Raises:
        InfraError: if it cannot be run, or fails.
    """
    line = ""
    with child_process(lambda: _started(command), _end) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield line
        process.wait()
    if process.returncode != 0:
        reason = line.strip() or f"exit code {process.returncode}"
        raise InfraError(f"--log: {reason}")


def _end(process: "subprocess.Popen[str]") -> None:
    with process:  # which closes its output, and waits
        process.kill()


def _started(command: str) -> "subprocess.Popen[str]":
    try:
        words = shlex.split(command)
        if not words:
            raise InfraError("--log: no program is named")
        return subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # of a failure, the last line is the reason
            text=True,
            errors="replace",
        )
    except (OSError, ValueError) as error:
        raise InfraError(f"--log: {reason_of(error)}") from None


def versions(authority: Authority, log: Iterable[str]) -> dict[str, str]:
    """1.2, 1.3 or unknown, for each device with a good certificate.

    Args:
        authority: what issued the certificates.
        log: lines of the broker, the oldest first; its last one of a device counts.
    """
    found = dict.fromkeys(devices(issued(authority)), UNKNOWN)
    for line in log:
        match = _NEGOTIATED.search(line)
        if match and match[1] in found:
            found[match[1]] = match[2]
    return found


def metrics(found: dict[str, str]) -> str:
    """How many devices speak each, as the text that Prometheus reads."""
    count = Counter(found.values())
    lines = [
        f"# HELP {_METRIC} Devices by the version of TLS of their last connection",
        f"# TYPE {_METRIC} gauge",
        *(f'{_METRIC}{{tls="{v}"}} {count[v]}' for v in ("1.2", "1.3", UNKNOWN)),
    ]
    return "\n".join(lines) + "\n"
