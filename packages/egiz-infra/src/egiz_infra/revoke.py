"""Taking a certificate back, so that it is over at once, and seeing that it is.

The list of revoked certificates stops who connects; it leaves who is connected alone. A
new access list silences who is connected, and does not end the connection. So the
authority, which can be anybody, connects in the name of who is revoked: the broker ends
the other connection, for a name has only one.
"""

import time
from collections.abc import Callable

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
    authority: Authority, running: Running, name: str, tell: Callable[[str], None]
) -> None:
    """Revoke every certificate of `name`, and prove it; again, if that failed.

    Args:
        authority: who issued it.
        running: the broker.
        name: whose.
        tell: called with a sentence after each step.

    Raises:
        InfraError: if there is nothing to revoke, or the broker was not convinced.
    """
    found = unexpired(authority, name)
    newest = found[-1]
    if newest.subject.kind == "broker":
        raise InfraError(
            f"{name} is a broker, and its clients have no list of what is revoked:"
            " issue a new certificate to it, and a new authority if its key is known"
        )
    # It shares the fate of the others, and its key is here to prove that.
    witness, witness_login = one_off(authority, newest.subject, running.devices)
    authority.revoke([*(one.certificate for one in found), witness])
    apply(authority, running)
    tell("the access list is without it" if _is_device(newest) else "files loaded")
    _wait_until_refused(witness_login)
    tell("its certificate is refused")
    _, login = one_off(authority, newest.subject, running.devices)
    _take_over(login, newest)
    tell("its connection is ended")


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
    raise InfraError("a revoked certificate is still let in: is crlfile configured?")


def _take_over(login: Login, one: Issued) -> None:
    """End the connection of who is revoked.

    A device's session goes with it. A service's is kept, with all that is queued in it:
    its password, or its next certificate, goes on with that.
    """
    with Probe(login, keeps_session=not _is_device(one)) as probe:
        if not _is_device(one):
            return
        own = topics.join_topic(one.subject.facility, one.subject.name, "status")
        if probe.publish(own) != NOT_AUTHORISED:
            raise BrokerIsOpen(f"{one.subject.name} may still publish to {own}")
