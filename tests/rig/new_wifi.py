"""A device with mutual TLS is brought into another Wi-Fi, through its portal."""

import json
from pathlib import Path

from egiz_edge_tools.hardware import Hardware, Network

from rig.phone import PortalBoard
from rig.tls import AUTHORITY, TlsBroker, der_files
from rig.waiting import eventually

DEVICE = "oven-007"


def stored(directory: Path, heap: str) -> dict[str, object] | None:
    """The settings after a phone has sent the form, and the trial is over.

    Args:
        directory: empty but for what the flash has of a library.
        heap: of the interpreter.
    """
    broker = TlsBroker(directory / "broker")
    broker.start()
    hardware = Hardware(networks={"Hall": Network("a password")})
    portal = PortalBoard(_flash(directory, broker), hardware, heap)
    try:
        phone = portal.phone()
        assert phone.fill(network="Hall", key="a password").status == 303
        eventually(lambda: phone.state() != "trying", 30)
        return portal.settings
    finally:
        portal.close()
        broker.kill()
        print(*portal.output, sep="\n")  # noqa: T201  # shown if it fails


def _flash(directory: Path, broker: TlsBroker) -> Path:
    """Of a device whose portal was asked for."""
    flash = directory / "flash"
    (flash / "data").mkdir(parents=True)
    files = der_files(flash, DEVICE, AUTHORITY, AUTHORITY)
    settings = {
        "device_id": DEVICE,
        "facility": "bakery",
        "broker": "localhost",
        "port": broker.tls_port,
        "wifi_ssid": "Office",
        "tls": {name: "/" + Path(path).name for name, path in files.items()},
    }
    (flash / "settings.json").write_text(json.dumps(settings))
    (flash / "data/boots").write_text("0 portal: command")
    return flash
