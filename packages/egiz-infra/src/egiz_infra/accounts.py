"""Accounts of services: a password in a file of its own, its hash in the broker's."""

import base64
import hashlib
import secrets

from egiz_infra.acl import ROLES, role_of
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, read_of_broker, write

# mosquitto_passwd's format 7: PBKDF2 with SHA-512. The rounds protect passwords that
# can be guessed; these are 256 random bits.
_ROUNDS = 101
_SALT_BYTES = 12  # Mosquitto 2.0 accepts no other length


def check_account(name: str) -> None:
    """Refuse an account that the access list has no role for.

    Raises:
        InfraError: naming the roles.
    """
    if role_of(name) is None:
        names = ", ".join(role.name for role in ROLES)
        raise InfraError(
            f"no role for {name!r}: there are {names}; a second account of one has a"
            " number, as bridge2"
        )


def accounts(layout: Layout) -> list[str]:
    """The accounts that have a password."""
    return [line.partition(":")[0] for line in _hashes(layout)]


def set_password(layout: Layout, name: str) -> None:
    """Make a new password for an account; the broker reads it at the next reload.

    Raises:
        InfraError: if the access list has no such role.
    """
    check_account(name)
    password = secrets.token_urlsafe(32)
    kept = [line for line in _hashes(layout) if not line.startswith(f"{name}:")]
    text = "\n".join(sorted([*kept, f"{name}:{_hashed(password)}"])) + "\n"
    write(layout.broker / "passwd", text.encode())
    # Last: install.sh makes an account again whose password is not there.
    # No newline: some programs would read it as a part of the password.
    write(layout.secrets / name, password.encode())


def _hashes(layout: Layout) -> list[str]:
    content = read_of_broker(layout.broker / "passwd")
    if content is not None:
        return content.decode(errors="replace").splitlines()
    # It was deleted or replaced: make it again from the passwords.
    made = layout.secrets.glob("[!.]*")
    return [f"{p.name}:{_hashed(p.read_text())}" for p in made if role_of(p.name)]


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    parts = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"$7${_ROUNDS}${'$'.join(parts)}"
