"""The settings of a device beside its certificate, as `egiz-edge deploy` reads them."""

import json
from collections.abc import Mapping
from pathlib import Path

from egiz_cli import strict_json

from egiz_infra.authority import Subject
from egiz_infra.errors import InfraError

FILE = "settings.json"
_PORT = 8883  # of production; without one, a device takes that of plain MQTT
_NEEDED = ("broker", "wifi_ssid", "wifi_password")
_OF_THE_DEVICE = ("facility", "device_id", "tls")
_TLS = {"ca": "ca.der", "cert": "certificate.der", "key": "key.der"}


def read_shared(path: Path) -> Mapping[str, object]:
    """The settings that all devices share.

    Other faults than these are found by `egiz-edge deploy`, which knows each setting.

    Raises:
        InfraError: names the setting that is missing, or that is not a shared one, and
            no value: one of them is a password.
    """
    try:
        shared = strict_json.loads(path.read_bytes())
    except OSError as error:
        raise InfraError(f"{path} cannot be read: {error.strerror}") from None
    except strict_json.TwiceError as error:
        raise InfraError(f"{path}: {error} stands there twice: remove one") from None
    except (ValueError, RecursionError):
        raise InfraError(f"{path} is not JSON") from None
    # Half a character, as "\\ud800", is JSON, and no text that a file can hold.
    try:
        json.dumps(shared, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InfraError(
            f"{path} has half a character: a \\u that is no text"
        ) from None
    if not isinstance(shared, dict):
        raise InfraError(f"{path} must be a JSON object")
    if missing := [name for name in _NEEDED if not shared.get(name)]:
        raise InfraError(f"{path} has no {', '.join(missing)}")
    if own := [name for name in _OF_THE_DEVICE if name in shared]:
        raise InfraError(f"{path}: {', '.join(own)}: each device gets its own")
    return shared


def settings_of(subject: Subject, shared: Mapping[str, object] | None) -> bytes | None:
    """Its settings; None without shared ones."""
    if shared is None:
        return None
    own = {"facility": subject.facility, "device_id": subject.name, "tls": _TLS}
    text = json.dumps({"port": _PORT, **shared, **own}, indent=2, ensure_ascii=False)
    return f"{text}\n".encode()
