"""The example for nftables, loaded by the kernel into a network of its own."""

import subprocess

from rig.process import require
from rig.servers import REPOSITORY

RULES = REPOSITORY / "infra/nftables/broker.nft"
_CONNECT = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
held = []
for _ in range(20):
    client = socket.socket()
    client.settimeout(0.2)
    try:
        client.connect(server.getsockname())
    except OSError:
        break
    held.append(client)
print(len(held))
"""


def _in_a_network_of_its_own(script, *arguments):
    unshare = require("unshare", "apt install util-linux")
    command = [unshare, "--map-root-user", "--net", "sh", "-euc", script, "sh"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nft_accepts_the_rules_twice_in_a_row():
    nft = require("nft", "apt install nftables")
    script = '"$1" --check --file "$2" && "$1" --file "$2" && "$1" --file "$2"'
    _in_a_network_of_its_own(script, nft, RULES)


def test_one_address_has_eight_connections_to_the_broker_and_any_to_others():
    nft = require("nft", "apt install nftables")
    python = require("python3", "apt install python3")
    script = 'ip link set lo up; "$1" --file "$2"; "$3" -c "$4" "$5"'
    for port, connections in (("8883", 8), ("8884", 8), ("1883", 20)):
        found = _in_a_network_of_its_own(script, nft, RULES, python, _CONNECT, port)
        assert int(found) == connections, port
