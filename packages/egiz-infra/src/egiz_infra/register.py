"""What has been issued: for which name, until when, and whether it is still valid."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509

from egiz_infra.authority import Authority, Subject, subject_of
from egiz_infra.building import sequence_of
from egiz_infra.errors import InfraError


class Issued(NamedTuple):
    """A certificate that was issued here.

    Attributes:
        issuer: the authority; empty if it is no longer trusted.
        is_former: whether that is the one before a roll-over.
        written_ns: when its copy was written: of two of a name that have no sequence,
            both may be of the same second.
    """

    subject: Subject
    certificate: x509.Certificate
    is_revoked: bool
    issuer: str
    is_former: bool
    written_ns: int

    @property
    def order(self) -> tuple[int, datetime, int]:
        """What was issued later is greater, whatever the clock was then."""
        sequence = sequence_of(self.certificate.serial_number)
        return sequence, self.certificate.not_valid_before_utc, self.written_ns

    @property
    def until(self) -> datetime:
        """When it expires."""
        return self.certificate.not_valid_after_utc

    @property
    def is_expired(self) -> bool:
        """Whether its validity has ended."""
        return self.until <= datetime.now(UTC)

    @property
    def is_early(self) -> bool:
        """Whether it begins later: this machine's clock was ahead, or is behind."""
        return self.certificate.not_valid_before_utc > datetime.now(UTC)

    @property
    def is_good(self) -> bool:
        """Whether the broker accepts it, once it has begun."""
        return bool(self.issuer) and not (self.is_revoked or self.is_expired)

    @property
    def state(self) -> str:
        """One word for people."""
        if self.is_revoked:
            return "revoked"
        if self.is_expired:
            return "expired"
        if not self.issuer:
            return "of no authority"
        return "not valid yet" if self.is_early else "good"


def issued(authority: Authority) -> list[Issued]:
    """Everything that was issued, by name, the one that was issued last at the end.

    Not the one that is valid for longest: a device may be issued to another facility
    for a shorter time, and only the later one says where it is.
    """
    found = list(_read(authority))
    return sorted(found, key=lambda one: (one.subject.name, one.order))


def newest(authority: Authority, name: str) -> Issued:
    """The newest certificate of `name` that is not revoked; it may have expired.

    Raises:
        InfraError: if there is none.
    """
    found = [one for one in current(issued(authority)) if one.subject.name == name]
    if not found:
        raise InfraError(
            f"{name} has no certificate, or only revoked ones: see egiz-infra list, and"
            " make one with egiz-infra issue"
        )
    return found[-1]


def current(everything: Iterable[Issued]) -> list[Issued]:
    """The newest certificate of each name that is not revoked, expired or not."""
    found = {
        (o.subject.kind, o.subject.name): o for o in everything if not o.is_revoked
    }
    return list(found.values())


def unexpired(authority: Authority, name: str) -> list[Issued]:
    """The certificates of `name`, good or revoked, not expired; newest last.

    Raises:
        InfraError: if there is none.
    """
    everything = issued(authority)
    found = [o for o in everything if o.subject.name == name and not o.is_expired]
    if not found:
        raise InfraError(f"{name} has no certificate: see egiz-infra list")
    return found


def devices(everything: Iterable[Issued]) -> dict[str, str]:
    """The facility of each device that has a good certificate; the newest one's."""
    return {
        one.subject.name: one.subject.facility
        for one in everything
        if one.is_good and one.subject.kind == "device"
    }


def services(everything: Iterable[Issued]) -> list[str]:
    """The services that have a good certificate."""
    return [
        one.subject.name
        for one in everything
        if one.is_good and one.subject.kind == "service"
    ]


def expiring(everything: Iterable[Issued], within: timedelta) -> list[Issued]:
    """The newest good certificate of each name that expires `within` that time."""
    good = (one for one in everything if one.is_good)
    limit = datetime.now(UTC) + within
    return [one for one in current(good) if one.until < limit]


def not_moved(authority: Authority) -> list[Issued]:
    """Devices and services without a certificate of the new authority.

    They would be refused. Of the broker, the certificate that it shows counts.
    """
    found = (one for one in current(issued(authority)) if one.is_former)
    return [o for o in found if o.subject.kind != "broker" and not o.is_expired]


def _read(authority: Authority) -> Iterator[Issued]:
    for path in authority.layout.copies.glob("[!.]*.pem"):
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except ValueError as error:
            raise InfraError(f"{path} is not a certificate: {error}") from None
        revoked = authority.is_revoked(certificate)
        issuer = authority.issuer_of(certificate)
        yield Issued(
            subject_of(certificate),
            certificate,
            revoked,
            issuer.name if issuer else "",
            issuer is not None and issuer is authority.former,
            path.stat().st_mtime_ns,
        )
