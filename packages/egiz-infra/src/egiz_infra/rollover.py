"""Replace the authority, with all devices connected, and move them one by one.

From `start` to `finish` the broker trusts both. It shows a certificate of the new
authority, and with it the new authority's own, signed by the former one: a device that
trusts either accepts the broker. So no device must be ready at a given moment.
"""

import shutil
from datetime import timedelta

from cryptography import x509

from egiz_infra.apply import broker_certificate, write_files
from egiz_infra.authority import CROSS, FORMER, NEXT, Authority, make, subject_of
from egiz_infra.building import pem_of
from egiz_infra.enrol import issue_broker
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, read_of_broker, write
from egiz_infra.register import not_moved

_FILES = ("ca.pem", "ca.key", "crl.pem")
_SHOWN_MAX = 5


def start(layout: Layout, name: str, valid_for: timedelta) -> Authority:
    """Make the new authority, and a certificate of it for the broker.

    Complete or not at all; what was interrupted is completed when it is called again.

    Raises:
        InfraError: if there is a roll-over already, or none is possible.
    """
    if not (layout.pki / NEXT).exists():
        prepare(Authority(layout), name)
    if (layout.pki / NEXT).exists():
        _switch(layout)
    authority = Authority(layout)
    shown = _shown(layout)
    if shown:
        issue_broker(authority, subject_of(shown), valid_for)
    return authority


def _shown(layout: Layout) -> x509.Certificate | None:
    """What the broker shows; of all names that it ever had, this one counts."""
    pem = read_of_broker(layout.broker / "broker.pem")
    try:
        return x509.load_pem_x509_certificate(pem or b"")
    except ValueError:
        return None


def prepare(former: Authority, name: str) -> None:
    """Make the new authority beside the one in force, and change nothing else.

    Raises:
        InfraError: if there is a roll-over already, or the name is taken.
    """
    if former.former and former.name == name:
        return  # it was interrupted after the switch
    if former.former:
        raise InfraError(
            f"the roll-over from {former.former.name} to {former.name} is not finished:"
            " see `egiz-infra rollover finish`"
        )
    if name == former.name:
        raise InfraError(
            f"the authority has the name {name} already: give the new one another name"
        )
    pki = former.layout.pki
    made = pki / f".{NEXT}"
    shutil.rmtree(made, ignore_errors=True)
    kept = made / FORMER
    kept.mkdir(mode=0o700, parents=True)
    made.chmod(0o700)
    for file in _FILES:
        write(kept / file, (pki / file).read_bytes())
    cross = former.sign_successor(make(made, name))
    write(made / CROSS, pem_of(cross))
    made.rename(pki / NEXT)


def _switch(layout: Layout) -> None:
    made = layout.pki / NEXT
    for path in made.iterdir():
        path.replace(layout.pki / path.name)
    made.rmdir()


def finish(layout: Layout, *, leave: bool) -> Authority:
    """Trust the former authority no longer.

    Args:
        layout: where it is.
        leave: also if there are certificates of it: their owners are then refused.

    Raises:
        InfraError: if there is no roll-over, or somebody would be refused.
    """
    authority = Authority(layout)
    if authority.former:
        _leave_former(authority, leave=leave)
    elif not (layout.pki / CROSS).exists():  # else it was interrupted
        raise InfraError("there is no roll-over: begin one with `rollover start`")
    shutil.rmtree(layout.pki / f".{FORMER}", ignore_errors=True)
    authority = Authority(layout)
    write_files(authority)
    (layout.pki / CROSS).unlink()
    return authority


def _leave_former(authority: Authority, *, leave: bool) -> None:
    left = [one.subject.name for one in not_moved(authority)]
    if left and not leave:
        more = f" and {len(left) - _SHOWN_MAX} more" if len(left) > _SHOWN_MAX else ""
        raise InfraError(
            f"not moved yet: {', '.join(left[:_SHOWN_MAX])}{more}. Renew each and carry"
            " the certificate to it, or revoke it; --leave shuts them out"
        )
    layout = authority.layout
    write(layout.broker / "broker.pem", pem_of(broker_certificate(authority)))
    # In one step: half of it would be an authority that cannot be used.
    gone = layout.pki / f".{FORMER}"
    shutil.rmtree(gone, ignore_errors=True)
    (layout.pki / FORMER).rename(gone)
