"""The access list of the broker, compiled from the contract's table of topics.

What is not listed is denied. A device is listed by name with its own facility: a
pattern with `%u` would let it publish for another facility.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from egiz_schema import topics
from egiz_schema.delivery import DELIVERY

HEALTH_TOPIC = "health/broker"

_HEADER = """\
# Compiled by egiz-infra from the topics of egiz_schema: do not edit.
# What is not listed is denied. Devices follow the roles, one block each.
"""


class Role(NamedTuple):
    """A service: its user name on the broker, and the topics it may use."""

    name: str
    purpose: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def _of_all_devices(*kinds: str) -> tuple[str, ...]:
    return tuple(f"{topics.ROOT}/+/+/{kind}" for kind in kinds)


_SENT = tuple(k for k, delivery in DELIVERY.items() if delivery.action == "send")
_RECEIVED = tuple(k for k in DELIVERY if k not in _SENT)

# No role has a hyphen in its name, every device id has one: they cannot be confused.
ROLES = (
    Role(
        "bridge",
        "egiz-bridge: stores what devices send and, if asked to, what they are sent",
        reads=_of_all_devices(*_SENT, *_RECEIVED),
    ),
    Role("telegraf", "instead of egiz-bridge", reads=_of_all_devices(*_SENT)),
    Role("egizcore", "the digital twin", reads=_of_all_devices(*_SENT)),
    Role(
        "fleet",
        "configures and commands devices, and sees what comes of it",
        reads=_of_all_devices(*_SENT),
        writes=_of_all_devices(*_RECEIVED),
    ),
    Role(
        "operator",
        "a person with egiz-bridge tail or mosquitto_sub; reads only",
        reads=_of_all_devices(*_SENT, *_RECEIVED),
    ),
    Role("exporter", "metrics of the broker", reads=("$SYS/broker/#",)),
    Role(
        "health",
        "publishes and reads back",
        reads=(HEALTH_TOPIC,),
        writes=(HEALTH_TOPIC,),
    ),
)


def role_of(account: str) -> Role | None:
    """The role of an account: `bridge2` is a second account of `bridge`."""
    named = account.rstrip("0123456789")
    return next((role for role in ROLES if role.name == named), None)


def compile_acl(
    devices: Mapping[str, str],
    accounts: Iterable[str] = (),
    stamp: str = "0",
    roles: Mapping[str, str] | None = None,
) -> str:
    """The file's text.

    Args:
        devices: the facility of each device id.
        accounts: more accounts, beside one for each role.
        stamp: lets `health` write to one more topic: a publish to it proves that the
            broker has loaded this list.
        roles: the role of each account that is not named for its role. An account that
            has none may do nothing: it was made with mosquitto_passwd.

    Raises:
        ValueError: for a name that is no device id or no facility of the contract.
    """
    blocks = [_role(role, stamp) for role in ROLES]
    known = {role.name for role in ROLES}
    given = roles or {}
    more = {name: role_of(given.get(name, name)) for name in {*accounts} - known}
    blocks += [
        _block(name, role.reads, role.writes)
        for name, role in sorted(more.items())
        if role
    ]
    blocks += [_device(facility, name) for name, facility in sorted(devices.items())]
    return "\n".join([_HEADER, *blocks])


def stamp_topic(stamp: str) -> str:
    """Where `health` may write if the list with this stamp is loaded."""
    return f"health/acl/{stamp}"


def _role(role: Role, stamp: str) -> str:
    stamped = (stamp_topic(stamp),) if role.name == "health" else ()
    block = _block(role.name, role.reads, role.writes + stamped)
    return f"# {role.purpose}\n{block}"


def _device(facility: str, device_id: str) -> str:
    def own(kinds: Iterable[str]) -> list[str]:
        return [topics.join_topic(facility, device_id, kind) for kind in kinds]

    return _block(device_id, own(_RECEIVED), own(_SENT))


def _block(user: str, reads: Iterable[str], writes: Iterable[str]) -> str:
    lines = [f"user {user}"]
    lines += [f"topic write {topic}" for topic in writes]
    lines += [f"topic read {topic}" for topic in reads]
    return "\n".join(lines) + "\n"
