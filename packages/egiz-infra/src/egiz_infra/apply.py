"""Giving the running broker new files, and seeing what it makes of them.

Mosquitto 2.0.11 fails open: a reload with an access list that it cannot read, or does
not understand, leaves it running without one, and everybody may do everything. So the
list is checked by another broker first, and the one that runs is probed afterwards.
"""

import secrets
import subprocess
import tempfile
from pathlib import Path

from egiz_infra.accounts import accounts
from egiz_infra.acl import compile_acl, stamp_topic
from egiz_infra.authority import Authority
from egiz_infra.errors import InfraError
from egiz_infra.layout import write
from egiz_infra.register import devices, issued, services
from egiz_infra.running import Running


def write_files(authority: Authority) -> str:
    """Write what the broker reads, for its next start or reload; gives the stamp."""
    stamp = secrets.token_hex(8)
    layout = authority.layout
    write(layout.broker / "ca.pem", authority.pem)
    write(layout.broker / "crl.pem", authority.crl)
    write(layout.broker / "acl", listed(authority, stamp).encode())
    return stamp


def listed(authority: Authority, stamp: str = "0") -> str:
    """The access list for everything that has been issued."""
    everything = issued(authority)
    names = [*accounts(authority.layout), *services(everything)]
    return compile_acl(devices(everything), names, stamp)


def apply(authority: Authority, running: Running) -> None:
    """Check, replace, reload, probe; and go back if the probe fails.

    Raises:
        InfraError: saying whether the former list is in force again.
    """
    running.health()  # without it, nothing could be proved afterwards
    if running.checker:
        lint(listed(authority), running.checker)
    path = authority.layout.broker / "acl"
    former = path.read_bytes() if path.exists() else None
    stamp = write_files(authority)
    try:
        running.ask_to_reload()
        running.wait_until_loaded(stamp)
    except InfraError as fault:
        _go_back(path, former, running, fault)


def _go_back(
    path: Path, former: bytes | None, running: Running, fault: InfraError
) -> None:
    if former is None:
        raise fault
    write(path, former)
    try:
        running.ask_to_reload()
        running.wait_until_loaded(_stamp_in(former.decode()))
    except InfraError as second:
        raise InfraError(
            f"{fault}. The former access list was put back, and that did not help:"
            f" {second}. If the broker runs, stop it: it may be open to everybody"
        ) from fault
    raise InfraError(f"{fault}. The former access list is in force again") from fault


def _stamp_in(text: str) -> str:
    _, _, rest = text.partition(f"topic write {stamp_topic('')}")
    return rest.partition("\n")[0]


def lint(text: str, program: str) -> None:
    """Let a broker of its own, which nobody can reach, read the list.

    Raises:
        InfraError: with its complaint; or if there is no such program.
    """
    with tempfile.TemporaryDirectory(prefix="egiz-lint-") as name:
        directory = Path(name)
        (directory / "acl").write_text(text)
        configuration = directory / "mosquitto.conf"
        configuration.write_text(
            f"acl_file {directory}/acl\nallow_anonymous false\nuser root\n"
            f"listener 0 {directory}/socket\n"
        )
        try:
            process = subprocess.Popen(
                [program, "-c", str(configuration)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError:
            raise InfraError(
                f"there is no program {program!r} to check the access list with: name"
                " one with --mosquitto, or leave it out with --mosquitto ''"
            ) from None
        told = _until_it_runs(process)
    if told is not None:
        raise InfraError(f"Mosquitto does not take the access list: {told}")


def _until_it_runs(process: "subprocess.Popen[str]") -> str | None:
    """What it complained of before it ended; None if it runs, which is then ended."""
    assert process.stdout is not None
    lines = []
    with process:
        for line in process.stdout:
            if line.rstrip().endswith("running"):
                # It has nothing to save, and would forget a SIGTERM that comes now.
                process.kill()
                return None
            lines.append(line.partition(": ")[2].strip())
    complaints = [line for line in lines if line.startswith("Error")]
    return " ".join(complaints or lines)
