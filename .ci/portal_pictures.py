"""Takes the pictures of docs/device/provisioning.md, from the page itself.

PYTHONPATH=tests .hatch/default/bin/python .ci/portal_pictures.py
"""

import tempfile
from pathlib import Path

from egiz_edge_tools.hardware import Hardware, Network
from rig.browser import Browser
from rig.phone import ADDRESS, PIN, PortalBoard
from rig.waiting import eventually

PICTURES = Path(__file__).parents[1] / "docs/assets"
ENTERED = {
    "network": "Factory",
    "key": "a password",
    "device_id": "oven-007",
    "facility": "bakery",
    "broker": "10.0.0.2",
}


def main() -> None:
    """Take them."""
    near = {"Factory": Network("another one"), "Office": Network("", rssi=-80)}
    with tempfile.TemporaryDirectory() as directory:
        portal = PortalBoard(Path(directory) / "flash", Hardware(networks=near))
        phone = Browser(Path(directory) / "browser", portal.phone().port)
        try:
            phone.open(f"http://{ADDRESS}/")
            phone.screenshot(PICTURES / "portal-light.png")
            phone.be_dark()
            phone.send(**ENTERED, pin=PIN)
            eventually(lambda: phone.has("password is wrong"))
            phone.screenshot(PICTURES / "portal-dark.png")
        finally:
            phone.close()
            portal.close()


if __name__ == "__main__":
    main()
