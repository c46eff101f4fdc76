"""When the certificates that the bridge uses expire."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from egiz_bridge.config.small_file import BYTES_MAX, read_small_file
from egiz_bridge.config.tables import Mqtt


def expiries(mqtt: Mqtt) -> dict[str, float]:
    """Of ``bridge`` and ``authority``, in seconds since 1970, as their files are now.

    The soonest of each file. One that cannot be read is left out: where it
    is used, an error names it.
    """
    files = {"bridge": mqtt.certificate_file, "authority": mqtt.ca_file}
    found = {}
    for name, path in files.items():
        with suppress(OSError, ValueError):
            if path:
                found[name] = min(_expiries(path))
    return found


def _expiries(path: Path) -> Iterator[float]:
    # Megabytes that a bridge without TLS does not need.
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415

    data = read_small_file(path, BYTES_MAX)
    for certificate in load_pem_x509_certificates(data):
        yield certificate.not_valid_after_utc.timestamp()
