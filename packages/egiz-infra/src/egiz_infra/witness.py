"""A certificate that is revoked from its birth, to prove that the broker refuses it.

A broker that cannot read its list of what is revoked serves devices all the same, and
accepts every certificate that was revoked.
"""

import ssl
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from egiz_infra.authority import AUTHORITY_DAYS, Authority, Subject
from egiz_infra.building import new_key, pem_of, pem_of_key
from egiz_infra.layout import write

# The account that probes: it may do nothing that matters.
_SUBJECT = Subject("service", "health")


def revoked_context(authority: Authority) -> ssl.SSLContext:
    """What a client with this certificate connects with; made and revoked if needed."""
    path = authority.layout.pki / "revoked.pem"
    if not _is_usable(authority, path):
        key = new_key()
        made = authority.sign(_SUBJECT, key.public_key(), timedelta(AUTHORITY_DAYS))
        authority.revoke([made])
        write(path, pem_of_key(key) + pem_of(made))
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.load_cert_chain(path)
    return context


def _is_usable(authority: Authority, path: Path) -> bool:
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        found.verify_directly_issued_by(authority.certificate)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return authority.is_revoked(found)
