"""A service of compose.yaml without Docker: what the kernel does for a container.

A root of its own that is read-only, with the mounts, `/tmp`, user, capabilities,
command, environment and health check of the file; the programs are those of this
machine. All services are in one network namespace, under their names in compose.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from rig.process import Process, require
from rig.servers import REPOSITORY

_PATH = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of this machine, read-only: programs, libraries, and the Python that runs the tests.
# Not /usr/local: files of ours are mounted there.
_HOST = (
    *("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share"),
    *("/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


class Network:
    """The network of all containers; `hosts` are the names that lead to it."""

    def __init__(self, directory: Path, hosts: list[str]) -> None:
        self.hosts = hosts
        script = "ip link set lo up && echo ready && exec sleep 1000000"
        unshare = require("unshare", "apt install util-linux")
        self._holder = Process(
            [unshare, "--net", "sh", "-c", script], directory / "net"
        )
        self._holder.wait_for("ready")

    @property
    def enter(self) -> list[str]:
        """What runs a command in it."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def output_of(self, *command: str) -> str:
        """Run a command of this machine in it; gives its output."""
        done = subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End it."""
        self._holder.kill()


class Container:
    """One service.

    Args:
        name: of the service, and of its directory.
        service: what the file says of it, variables replaced.
        directory: for its root, its log, and volumes that are its own.
        network: where it runs.
        volumes: directories of the named volumes.
        image: the entry point of its image, where the file has none.
    """

    def __init__(
        self,
        name: str,
        service: dict[str, Any],
        directory: Path,
        network: Network,
        volumes: dict[str, Path],
        image: list[str],
    ) -> None:
        self.name, self._service, self._network = name, service, network
        self._root = directory / f"{name}.root"
        self._root.mkdir()
        self._log = directory / f"{name}.log"
        self._script = directory / f"{name}.sh"
        self._mounts = [_mount(text, volumes) for text in service.get("volumes", [])]
        self._entrypoint = [*service.get("entrypoint", image)]
        self.process: Process | None = None

    def start(self, *beside: str) -> None:
        """Start it; `beside` joins namespaces of another one."""
        command = self._service.get("command", [])
        self.process = Process(
            self._shell(self._entrypoint + command, beside), self._log
        )

    def run(self, *arguments: str, beside: tuple[str, ...] = ()) -> str:
        """Run its program to the end, which must be a success; gives its output."""
        command = self._shell([*self._entrypoint, *arguments], beside)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def main_pid(self) -> int:
        """The process id of its first process, on this machine."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            raise ProcessLookupError(f"{self.name} has not started yet")
        return int(children[0])

    def is_healthy(self) -> bool:
        """Whether its health check succeeds, run in it as Docker does."""
        kind, *rest = self._service["healthcheck"]["test"]
        command = rest if kind == "CMD" else ["sh", "-c", rest[0].replace("$$", "$")]
        enter = ["nsenter", f"--target={self.main_pid}", "--mount", "--pid", "--net"]
        done = subprocess.run(
            [*enter, "--root", "--wd=/", *self._as_user(), *command],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def wait_until_healthy(self) -> None:
        """As `up --wait`."""
        assert self.process is not None
        self.process.wait_until(self.is_healthy)

    def status(self, key: str) -> str:
        """A line of /proc/PID/status of its first process."""
        lines = Path(f"/proc/{self.main_pid}/status").read_text().splitlines()
        return (
            next(x for x in lines if x.startswith(f"{key}:")).partition(":")[2].strip()
        )

    def kill(self) -> None:
        """End it, and all that it has started."""
        if self.process is not None and self.process.is_running():
            self.process.kill()

    def _shell(self, command: list[str], beside: tuple[str, ...]) -> list[str]:
        self._script.write_text("\n".join([*self._layout(), self._exec(command)]))
        own = ["--mount"] if beside else ["--mount", "--pid", "--fork", "--kill-child"]
        enter = beside or tuple(self._network.enter)
        return [*enter, "unshare", *own, "sh", "-eu", str(self._script)]

    def _exec(self, command: list[str]) -> str:
        inside = ["chroot", str(self._root), *self._as_user(), *command]
        return f"exec {shlex.join(inside)}"

    def _as_user(self) -> list[str]:
        uid, gid = self._service["user"].split(":")
        kept = [f"+{one.lower()}" for one in self._service.get("cap_add", [])]
        environment = {"PATH": _PATH, "HOME": "/tmp", **self._environment()}
        return [
            *("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
            "--pdeathsig=KILL",  # a change of the user would forget that of unshare
            *(f"--bounding-set={','.join(['-all', *kept])}", "--no-new-privs"),
            *("env", "-i", *(f"{key}={value}" for key, value in environment.items())),
        ]

    def _environment(self) -> dict[str, str]:
        return {k: str(v) for k, v in (self._service.get("environment") or {}).items()}

    def _layout(self) -> list[str]:
        """Commands that make its root, as of an image, and mount what the file says."""
        root = self._root
        lines = [f"mount -t tmpfs -o mode=0755 tmpfs {root}", f"mkdir {root}/dev"]
        # First: a checkout may be below /tmp.
        for mounted in self._service["tmpfs"]:
            target, _, options = mounted.partition(":")
            lines.append(f"mkdir {root}{target}")
            lines.append(f"mount -t tmpfs -o {options} tmpfs {root}{target}")
        lines += [_bound(Path(path), root, "ro") for path in _host()]
        lines += [_bound(Path(path), root, "rw") for path in _DEVICES]
        lines += [f"mkdir -p {root}/proc {root}/etc", f"mount -t proc proc {root}/proc"]
        lines += [f"echo 127.0.0.1 localhost {' '.join(self._network.hosts)} "]
        lines[-1] += f">{root}/etc/hosts"
        # A directory before what is mounted below it.
        for source, target, mode in sorted(self._mounts, key=lambda one: one[1]):
            lines.append(_bound(source, root, mode, target))
        return [*lines, f"mount -o remount,ro {root}"]


def _mount(text: str, volumes: dict[str, Path]) -> tuple[Path, str, str]:
    source, target, *mode = text.split(":")
    here = source.startswith(".")
    path = REPOSITORY / "infra" / source if here else volumes[source]
    return path, target, mode[0] if mode else "rw"


def _host() -> list[str]:
    """Of this machine: what it has of _HOST, the interpreter, and packages."""
    python = {sys.prefix, sys.base_prefix, str(REPOSITORY / "packages")} - {"/usr"}
    return [path for path in (*_HOST, *sorted(python)) if Path(path).exists()]


def _bound(source: Path, root: Path, mode: str, target: str = "") -> str:
    there = f"{root}{target or source}"
    if source.is_symlink():
        return f"cp -P {source} {there}"  # /bin is a link to /usr/bin
    make = f"mkdir -p {there}" if source.is_dir() else f"touch {there}"
    bind = f"mount --bind {source} {there}"
    again = f"mount -o remount,bind,{mode} {there}" if mode == "ro" else ":"
    return f"mkdir -p {os.path.dirname(there)}; {make}; {bind}; {again}"  # noqa: PTH120  # a text
