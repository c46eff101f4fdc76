"""No key and no password is in the repository, nor in what an image is built from."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Patterns of secrets in a text. Split, so that this file has none.
_KEY = "-----BEGIN " + r"(?:[A-Z]+ )*PRIVATE KEY-----\s*(?:\\n)?\s*[A-Za-z0-9+/]{40}"
_HASH = r"\$(?:6|7|argon2id?)\$[^\s$]+\$[A-Za-z0-9+/=]{8,}"
_GIVEN = (
    r"(?i)(?:password|passwd|secret|token|api_?key)[\w-]*[\"']?\s*[:=]\s*"
    r"[\"']?(?!/)[A-Za-z0-9+/_-]{20,}[\"']?\s*$"  # what begins with / is a path
)
_PATTERNS = [re.compile(one, re.MULTILINE) for one in (_KEY, _HASH, _GIVEN)]

_SECRET_NAMES = re.compile(r"(^|/)(\.env|passwd|.*\.(key|pem|der|p12|pfx|crt|csr))$")
# An identifier on the right of an assignment is no secret.
_IDENTIFIER = re.compile(r"[:=]\s*[a-z_]+$")


def _files():
    """What git has or would add: what a clone and a build context can contain."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    found = [ROOT / name for name in output.decode().split("\0") if name]
    return [path for path in found if path.is_file()]


def _secrets(text):
    return [
        match[0]
        for pattern in _PATTERNS
        for match in pattern.finditer(text)
        if not _IDENTIFIER.search(match[0])
    ]


def test_no_file_holds_a_secret():
    files = _files()
    assert len(files) > 200
    found = {}
    for path in files:
        if secrets := _secrets(path.read_text(errors="replace")):
            found[str(path.relative_to(ROOT))] = [one[:24] for one in secrets]
    assert found == {}


def test_no_file_has_the_name_of_a_secret():
    names = [str(path.relative_to(ROOT)) for path in _files()]
    assert [name for name in names if _SECRET_NAMES.search(name)] == []


def test_the_scan_finds_the_secrets_that_egiz_infra_makes(secure_mosquitto):
    """The scan against real secrets, those of a whole installation."""
    secure_mosquitto.infra("issue", "service", "bridge")
    root = secure_mosquitto.layout.root
    made = [root / "pki/ca.key", root / "broker/passwd", root / "issued/bridge/key.pem"]
    for path in made:
        assert _secrets(path.read_text()), path
    password = (root / "secrets/bridge").read_text()
    assert _secrets(f"MQTT_PASSWORD={password}\n")
    for name in ("pki/ca.key", "broker/broker.pem", "broker/passwd", "a/key.der"):
        assert _SECRET_NAMES.search(name)


@pytest.mark.parametrize("name", [".env", "infra/.env", "x/.env"])
def test_an_environment_file_is_ignored(name):
    done = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)
    assert done.returncode == 0
