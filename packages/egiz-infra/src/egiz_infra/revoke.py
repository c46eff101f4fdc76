"""Revoke a certificate, end its connection, and prove both.

The revocation list refuses new connections and leaves an open one alone. A new access
list denies everything on an open connection and does not end it. So the authority,
which can sign any name, connects with the revoked name: the broker then ends the other
connection, because a name has only one.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from egiz_schema import topics

from egiz_infra.apply import apply
from egiz_infra.authority import Authority
from egiz_infra.errors import BrokerIsOpen, InfraError, Refused
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe
from egiz_infra.register import Issued, unexpired
from egiz_infra.running import Running, one_off

_REFUSED_WITHIN_S = 15.0
_PAUSE_S = 0.05


def revoke(
    authority: Authority, running: Running, name: str, report: Callable[[str], None]
) -> None:
    """Revoke every certificate of `name`, and prove it; can be repeated if it failed.

    Args:
        authority: what issued it.
        running: the broker.
        name: the device id or the account.
        report: called with a sentence after each step.

    Raises:
        InfraError: if there is nothing to revoke, or the broker still accepts it.
    """
    found = unexpired(authority, name)
    newest = found[-1]
    if newest.subject.kind == "broker":
        raise InfraError(
            f"{name} is a broker, and its clients have no list of what is revoked:"
            " issue a new certificate to it, and a new authority if its key is known"
        )
    running.check_reload()
    # Revoked with the others; its key is here, so the refusal can be proved with it.
    witness, witness_login = one_off(authority, newest.subject, running.devices)
    authority.revoke([*(one.certificate for one in found), witness])
    apply(authority, running)
    report("the access list is without it" if _is_device(newest) else "files loaded")
    for listener in running.listeners():
        host, port = listener.address
        _wait_until_refused(replace(witness_login, host=host, port=port))
    report("its certificate is refused")
    _, login = one_off(authority, newest.subject, running.devices)
    _end_connection(login, newest)
    report("its connection is ended")


def _is_device(one: Issued) -> bool:
    return one.subject.kind == "device"


def _wait_until_refused(login: Login) -> None:
    until = time.monotonic() + _REFUSED_WITHIN_S
    while time.monotonic() < until:
        try:
            with Probe(login):
                pass
        except Refused:
            return
        time.sleep(_PAUSE_S)
    raise InfraError(
        f"{login} still accepts a revoked certificate: set crlfile in mosquitto.conf"
    )


def _end_connection(login: Login, one: Issued) -> None:
    """End the connection of the revoked name.

    The session of a device ends, too. That of a service is kept with its queue: its
    password, or its next certificate, continues it.
    """
    with Probe(login, keeps_session=not _is_device(one)) as probe:
        if not _is_device(one):
            return
        own = topics.join_topic(one.subject.facility, one.subject.name, "status")
        if probe.publish(own) != NOT_AUTHORISED:
            raise BrokerIsOpen(f"{one.subject.name} may still publish to {own}")
