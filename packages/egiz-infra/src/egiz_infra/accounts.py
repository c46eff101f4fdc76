"""Accounts of services: a password in a file of its own, its hash in the broker's."""

import base64
import hashlib
import re
import secrets
from pathlib import Path

from egiz_schema import topics

from egiz_infra.acl import ROLES, role_of
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, read_of_broker, write, write_together

# mosquitto_passwd's format 7: PBKDF2 with SHA-512. The rounds protect passwords that
# can be guessed; these are 256 random bits.
_ROUNDS = 101
_SALT_BYTES = 12  # Mosquitto 2.0 accepts no other length


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)


def check_account(name: str) -> None:
    """Refuse an account that the access list has no role for.

    Raises:
        InfraError: naming the roles.
    """
    if role_of(name) is None:
        names = ", ".join(role.name for role in ROLES)
        raise InfraError(
            f"no role for {name!r}: there are {names}; a second account of one has a"
            " number, as bridge2; an account of another name needs --role"
        )


def roles(layout: Layout) -> dict[str, str]:
    """The roles that were given to accounts which are not named for one."""
    try:
        lines = _file_of_roles(layout).read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition(" ") for line in lines)
    return {name: role for name, _, role in pairs}


def give_role(layout: Layout, name: str, role: str) -> None:
    """Let an account, of whatever name, do what a role may.

    Raises:
        InfraError: there is no such role, or the name is a role's or a device's.
    """
    check_account(role)
    if not _NAME.fullmatch(name):
        raise InfraError(
            f"{name!r} is no name of an account: 1 to 64 of A-Z a-z 0-9 _ . @ -,"
            " beginning with a letter or a digit"
        )
    if role_of(name) or topics.is_device_id(name):
        raise InfraError(f"{name!r} is the name of a role or of a device")
    write(_file_of_roles(layout), _text_of(roles(layout) | {name: role}))


def remove(layout: Layout, name: str) -> None:
    """Remove an account: its password, its hash, and the role that it was given.

    Raises:
        InfraError: there is none.
    """
    lines = _hashes(layout)
    kept = [line for line in lines if not line.startswith(f"{name}:")]
    if kept == lines:
        raise InfraError(f"there is no account {name!r}")
    given = {k: v for k, v in roles(layout).items() if k != name}
    files: dict[Path, bytes | None] = {
        layout.broker / "passwd": "".join(f"{line}\n" for line in kept).encode(),
        _file_of_roles(layout): _text_of(given),
    }
    if _NAME.fullmatch(name):
        files[layout.secrets / name] = None
    write_together(layout, files)


def _file_of_roles(layout: Layout) -> Path:
    return layout.pki / "roles"


def _text_of(given: dict[str, str]) -> bytes:
    lines = (f"{name} {role}\n" for name, role in sorted(given.items()))
    return "".join(lines).encode()


def accounts(layout: Layout) -> list[str]:
    """The accounts that have a password."""
    return [line.partition(":")[0] for line in _hashes(layout)]


def set_password(layout: Layout, name: str) -> None:
    """Make a new password for an account; the broker reads it at the next reload.

    Raises:
        InfraError: if the access list has no such role.
    """
    if name not in roles(layout):
        check_account(name)
    password = secrets.token_urlsafe(32)
    kept = [line for line in _hashes(layout) if not line.startswith(f"{name}:")]
    text = "\n".join(sorted([*kept, f"{name}:{_hashed(password)}"])) + "\n"
    files: dict[Path, bytes | None] = {
        layout.broker / "passwd": text.encode(),
        # No newline: some programs would read it as a part of the password.
        layout.secrets / name: password.encode(),
    }
    write_together(layout, files)


def _hashes(layout: Layout) -> list[str]:
    content = read_of_broker(layout.broker / "passwd")
    if content is not None:
        return content.decode(errors="replace").splitlines()
    # It was deleted or replaced: make it again from the passwords.
    made = layout.secrets.glob("[!.]*")
    known = roles(layout)
    return [
        f"{path.name}:{_hashed(path.read_text())}"
        for path in made
        if path.name in known or role_of(path.name)
    ]


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    parts = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"$7${_ROUNDS}${'$'.join(parts)}"
