"""The settings of a device, as a person writes them before provisioning exists."""

import json
from pathlib import Path

from egiz_schema import topics

from egiz_edge_tools.errors import SettingsError

_TEXTS = ("broker", "wifi_ssid", "wifi_password")


def check(path: Path) -> None:
    """See that a device can start with this file.

    Raises:
        SettingsError: names the file, the field and the fix, and no value of it.
    """
    try:
        told = json.loads(path.read_bytes())
    except OSError as fault:
        raise SettingsError(f"{path}: {fault.strerror}") from None
    except ValueError as fault:
        raise SettingsError(f"{path}: not JSON: {fault}") from None
    if not isinstance(told, dict):
        raise SettingsError(f"{path}: must be a JSON object")
    if not topics.is_facility(str(told.get("facility"))):
        raise SettingsError(f"{path}: facility: words as in bakery-2 are needed")
    if not topics.is_device_id(str(told.get("device_id"))):
        raise SettingsError(f"{path}: device_id: type-unit as in oven-001 is needed")
    for name in _TEXTS:
        if not isinstance(told.get(name), str) or not told[name]:
            raise SettingsError(f"{path}: {name}: a text is needed")
