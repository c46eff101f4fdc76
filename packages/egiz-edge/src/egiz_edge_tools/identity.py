"""The settings of a device, as a person writes them before provisioning exists."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from egiz_schema import explain, topics

from egiz_edge_tools.errors import SettingsError

_TEXTS = ("broker", "wifi_ssid", "wifi_password")
_BYTE_ORDER_MARK = (
    "\ufeff"  # json.loads of CPython skips it in bytes; the board's does not
)
_DER = b"\x30"  # a sequence of ASN.1, as certificates and keys are


def files_of(path: Path) -> list[Path]:
    """The DER files that settings name under `tls`; they lie beside them.

    Raises:
        SettingsError: if a device cannot start with them. It names the file, the field
            and the fix, and no value.
    """
    settings = _read(path)
    if not topics.is_facility(str(settings.get("facility"))):
        raise SettingsError(f"{path}: facility: {explain('bad_facility')}")
    if not topics.is_device_id(str(settings.get("device_id"))):
        raise SettingsError(f"{path}: device_id: {explain('bad_device_id')}")
    for name in _TEXTS:
        if not isinstance(settings.get(name), str) or not settings[name]:
            raise SettingsError(f"{path}: {name}: a text is needed")
    named = settings.get("tls") or {}
    if not isinstance(named, dict) or (named and "ca" not in named):
        raise SettingsError(
            f"{path}: tls: an object with ca, and cert and key if wanted"
        )
    return [_der(path, key, name) for key, name in named.items()]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_bytes().decode()
        if text.startswith(_BYTE_ORDER_MARK):
            raise UnicodeError  # noqa: TRY301  # one sentence for both
        settings = json.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except UnicodeError:  # the board gets the bytes as they are
        raise SettingsError(
            f"{path}: not UTF-8 without a byte order mark: save it so"
        ) from None
    except RecursionError:
        raise SettingsError(f"{path}: not JSON: nested too deeply") from None
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise SettingsError(f"{path}: must be a JSON object")
    return settings


def _der(path: Path, key: str, name: object) -> Path:
    if not isinstance(name, str) or Path(name).name != name:
        raise SettingsError(f"{path}: tls.{key}: the name of a file beside this one")
    file = path.with_name(name)
    try:
        is_der = file.read_bytes()[:1] == _DER
    except OSError as error:
        raise SettingsError(f"{path}: tls.{key}: {file}: {error.strerror}") from None
    if not is_der:
        raise SettingsError(
            f"{path}: tls.{key}: {file} is not DER; `openssl x509 -outform der` makes"
            " that of a PEM certificate, `openssl pkey -outform der` of a key"
        )
    return file
