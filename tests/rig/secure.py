"""Mosquitto as in production, with an authority, accounts and devices of its own."""

import socket
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

from egiz_infra.accounts import set_password
from egiz_infra.acl import ROLES
from egiz_infra.apply import write_files
from egiz_infra.authority import Subject, create
from egiz_infra.building import new_key, pem_of, pem_of_key
from egiz_infra.layout import Layout
from egiz_infra.probe import Login

from rig.process import free_port, own_program
from rig.servers import Mosquitto

# CONNECT of MQTT 3.1.1 without a login; the answer is a refusal.
_WITHOUT_LOGIN = b"\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05ready"


class SecureMosquitto(Mosquitto):
    """The listeners for devices (mutual TLS) and for services (passwords).

    `port` is that of the services. What was issued before `start` is known to it.
    """

    listeners = ("production.conf", "service.conf", "tls12.conf")

    def __init__(self, directory: Path) -> None:
        self.device_port = free_port()
        self.tls12_port = free_port()
        self.layout = Layout(directory / "egiz")
        super().__init__(directory)
        self.authority = create(self.layout, "Test")
        for role in ROLES:
            set_password(self.layout, role.name)
        self.infra("issue", "broker", "localhost")

    def start(self) -> None:
        """Start it, with what has been issued so far."""
        write_files(self.authority)
        super().start()

    def infra(self, *arguments: str) -> str:
        """Run `egiz-infra`, which must succeed; gives its output."""
        done = self.try_infra(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_infra(
        self, *arguments: str, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run `egiz-infra` on this broker and its files."""
        here = {
            "EGIZ_DIRECTORY": str(self.layout.root),
            "EGIZ_RELOAD": f"kill -HUP {self.pid}" if self._process else "false",
            "EGIZ_SERVICES": f"{self.host}:{self.port}",
            "EGIZ_DEVICES": f"{self.host}:{self.device_port}",
            "EGIZ_DEVICES_TLS12": f"{self.host}:{self.tls12_port}",
            "EGIZ_MOSQUITTO": self._program,
            "PATH": "/usr/bin:/bin",
        }
        return subprocess.run(
            [own_program("egiz-infra"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=here | env,
        )

    def account(self, name: str) -> Login:
        """Log in with a password."""
        password = (self.layout.secrets / name).read_text()
        return Login(self.host, self.port, name, password)

    def device(self, name: str, facility: str = "factory") -> Login:
        """Issue a certificate to a device, and log in with it."""
        subject = Subject("device", name, facility)
        return Login(self.host, self.device_port, tls=self.context(self.pair(subject)))

    def pair(self, subject: Subject) -> Path:
        """Issue a certificate; gives a PEM file with it and its key."""
        key = new_key()
        certificate = self.authority.issue(subject, key.public_key(), timedelta(1))
        path = self.layout.issued / f"{subject.name}.pem"
        path.write_bytes(pem_of_key(key) + pem_of(certificate))
        return path

    def _is_ready(self) -> object:
        """It has loaded the files of every listener: it serves none before."""
        with socket.create_connection((self.host, self.port), timeout=5) as client:
            client.sendall(_WITHOUT_LOGIN)
            return client.recv(1)

    def context(self, pair: Path | None) -> ssl.SSLContext:
        """What a client that has such a file connects with."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        if pair:
            context.load_cert_chain(pair)
        return context

    def _substitutions(self) -> dict[str, str]:
        return super()._substitutions() | {
            "listener 8883": f"listener {self.device_port} {self.host}",
            "listener 8884": f"listener {self.tls12_port} {self.host}",
            "/etc/egiz/": f"{self.layout.root}/",
        }


class WithoutTls12(SecureMosquitto):
    """TLS 1.3 only, and no second port: `tls12_port` is closed."""

    listeners = ("production.conf", "service.conf", "no-tls12.conf")
