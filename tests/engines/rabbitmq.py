"""RabbitMQ with MQTT, one node or several, in a Debian of its own."""

import os
from pathlib import Path

from rig.process import Process, free_port

from engines.brokers import Node
from engines.cache import found

# As the first process of a system of its own: a SIGKILL of `unshare` ends all of it,
# and mounts end with it.
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
_START = """\
set -e
mount --bind "$2" "$1/mnt"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
exec chroot "$1" "$3"
"""
_CONF = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}
mqtt.allow_anonymous = true
anonymous_login_user = guest
anonymous_login_pass = guest
cluster_formation.peer_discovery_backend = classic_config
"""
_RIGHTS = [] if os.getuid() == 0 else ["--map-root-user"]


def _in_its_system(state: Path, program: str) -> list[str]:
    root = found("rabbitmq")
    for name in ("dev", "proc", "mnt"):
        (root / name).mkdir(exist_ok=True)
    _prepare(root)
    return [
        *_UNSHARE,
        *_RIGHTS,
        "sh",
        "-c",
        _START,
        "sh",
        str(root),
        str(state),
        program,
    ]


def _prepare(root: Path) -> None:
    (root / "etc/passwd").write_text("root:x:0:0:root:/mnt:/bin/sh\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "tmp").mkdir(exist_ok=True)


class Epmd(Process):
    """Where the nodes of a cluster find each other."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.port = free_port()
        env = {"ERL_EPMD_PORT": str(self.port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        super().__init__(
            _in_its_system(directory, "/usr/bin/epmd"), directory / "log", env
        )


class RabbitMqNode(Node):
    """One of `nodes`; `settings` are lines of rabbitmq.conf."""

    def __init__(
        self, directory: Path, number: int, nodes: int, epmd: Epmd, settings: str
    ) -> None:
        super().__init__(directory)
        conf = _CONF.format(amqp=free_port(), mqtt=self.port) + settings + "\n"
        for other in range(nodes):
            key = f"cluster_formation.classic_config.nodes.{other + 1}"
            conf += f"{key} = r{other}@localhost\n"
        (directory / "rabbitmq.conf").write_text(conf)
        (directory / "plugins").write_text("[rabbitmq_mqtt].\n")
        self._env = {
            "RABBITMQ_NODENAME": f"r{number}@localhost",
            "RABBITMQ_CONFIG_FILE": "/mnt/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": "/mnt/data",
            "RABBITMQ_LOG_BASE": "/mnt",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "/mnt/plugins",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ERLANG_COOKIE": "egiz",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "ERL_EPMD_PORT": str(epmd.port),
            "HOME": "/mnt",
            "PATH": "/usr/sbin:/usr/bin",
        }

    def launch(self) -> None:
        """Start it, and do not wait."""
        self._started = self.log.count(_READY) if self._log.exists() else 0
        self._process = Process(self._command(), self._log, self._env)

    def _command(self) -> list[str]:
        program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        return _in_its_system(self.directory, program)

    def _is_ready(self) -> object:
        return self.log.count(_READY) > self._started


_READY = "Server startup complete"
