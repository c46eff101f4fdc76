"""systemd's part in a test: run the commands of a unit, with its credentials."""

import os
import shlex
import subprocess
from pathlib import Path

from rig.process import Process


class Unit:
    """A service of the tree that `infra/install.sh --prefix` laid out.

    Its programs, arguments, environment and credentials are those of the unit or of our
    drop-in; users, limits and the sandbox are left to systemd.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        own = root / f"etc/systemd/system/{name}.service"
        drop_in = root / f"etc/systemd/system/{name}.service.d/egiz.conf"
        self._lines = (own if own.exists() else drop_in).read_text().splitlines()
        self._credentials = root / "run/credentials" / f"{name}.service"
        self._log = root / f"{name}.log"
        self._working_directory = root
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The main process."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process

    @property
    def is_one_shot(self) -> bool:
        """Whether it ends by itself, and must succeed."""
        return self._all("Type") == ["oneshot"]

    @property
    def is_running(self) -> bool:
        """Whether its main process runs."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Run ExecStart; one that ends by itself has ended when this returns."""
        commands = [shlex.split(line) for line in self._all("ExecStart") if line]
        environment = self._environment()
        if self.is_one_shot:
            for command in commands:
                subprocess.run(command, env=environment, check=True)
        else:
            (command,) = commands
            directory = self._working_directory
            self._process = Process(command, self._log, environment, directory)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        code = self.process.terminate()
        self._process = None
        return code

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.is_running:
            self.process.kill()

    def _environment(self) -> dict[str, str]:
        self._credentials.mkdir(parents=True, exist_ok=True)
        for line in self._all("LoadCredential"):
            name, _, source = line.partition(":")
            (self._credentials / name).write_bytes(Path(source).read_bytes())
        directory = str(self._credentials)
        given = [
            assignment.replace("%d", directory).partition("=")
            for line in self._all("Environment")
            for assignment in shlex.split(line)
        ]
        own = {name: value for name, _, value in given}
        own["CREDENTIALS_DIRECTORY"] = directory
        for name in self._all("StateDirectory"):
            own["STATE_DIRECTORY"] = str(self._working_directory / "var/lib" / name)
        return {**os.environ, **own}

    def _all(self, key: str) -> list[str]:
        return [
            line.removeprefix(f"{key}=")
            for line in self._lines
            if line.startswith(f"{key}=")
        ]
