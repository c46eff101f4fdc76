"""When certificates expire, as metrics for Prometheus.

The bridge knows only certificates that it uses itself. Here are those of everybody:
devices, services, the broker and the authority.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from cryptography import x509

from egiz_infra.authority import Authority
from egiz_infra.register import current, issued, not_moved

_EXPIRY = "egiz_certificate_expiry_timestamp_seconds"
_FORMER = "egiz_certificates_of_former_authority"
_CHECKED = "egiz_certificates_checked_timestamp_seconds"


def metrics(authority: Authority) -> str:
    """The text that Prometheus reads; the newest certificate of each name is in it.

    One that has expired stays in it, so that its alert does not end by itself.
    """
    lines = [
        *_family(_EXPIRY, "When the newest certificate of a name expires, since 1970"),
        _expiry(authority.certificate, authority.name, "authority", ""),
        *_of_names(authority),
        *_family(_FORMER, "Names without a certificate of the new authority"),
        f"{_FORMER} {len(not_moved(authority))}",
        *_family(_CHECKED, "When all certificates were read, since 1970"),
        f"{_CHECKED} {datetime.now(UTC).timestamp():.0f}",
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, meaning: str) -> Iterable[str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} gauge"


def _of_names(authority: Authority) -> Iterator[str]:
    for one in current(issued(authority)):
        subject = one.subject
        yield _expiry(one.certificate, subject.name, subject.kind, subject.facility)


def _expiry(certificate: x509.Certificate, name: str, kind: str, facility: str) -> str:
    labels = {"certificate": name, "kind": kind, "facility": facility}
    text = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    until = certificate.not_valid_after_utc.timestamp()
    return f"{_EXPIRY}{{{text}}} {until:.0f}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
