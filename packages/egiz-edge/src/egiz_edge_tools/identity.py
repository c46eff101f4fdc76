"""The settings of a device, as a person writes them before provisioning exists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from egiz_cli import strict_json
from egiz_edge import settings_check

from egiz_edge_tools.errors import SettingsError

_NEEDED = ("wifi_ssid", "wifi_password")  # by a board, beside what each device needs
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
    found: dict[str, str] = settings_check.problems(settings)  # type: ignore[no-untyped-call]  # of the device
    for name in _NEEDED:
        if settings.get(name) is None:
            found[name] = "must be a text"
    if found:
        raise SettingsError(
            "\n".join(f"{path}: {name}: {found[name]}" for name in found)
        )
    named = settings.get("tls") or {}
    return [_der(path, key, name) for key, name in named.items()]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_bytes().decode()
        if text.startswith(_BYTE_ORDER_MARK):
            raise UnicodeError  # noqa: TRY301  # one sentence for both
        settings = strict_json.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except strict_json.TwiceError as error:
        raise SettingsError(f"{path}: {error} stands there twice: remove one") from None
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
