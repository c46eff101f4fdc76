"""The portal's page as axe-core and a real Chromium see it, on narrow phones."""

import pytest
from egiz_edge_tools.hardware import Hardware, Network
from rig import node
from rig.browser import Browser
from rig.phone import ADDRESS, PIN, PortalBoard
from rig.waiting import eventually

ENTERED = {
    "network": "Factory",
    "key": "a password",
    "device_id": "oven-007",
    "facility": "bakery",
    "broker": "127.0.0.1:1",
    "user": "x" * 60,
}
# A rule that needs the eye of a person says "incomplete": there must be none of them.
AUDIT = "axe.run().then(r => JSON.stringify([...r.violations, ...r.incomplete]))"


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core."""
    directory = node.install(tmp_path_factory.mktemp("npm"), "axe-core")
    return (directory / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@pytest.fixture
def portal(micropython, tmp_path):
    del micropython  # whether there is an interpreter
    near = {"Factory": Network("a password", joins_s=6), "x" * 32: Network(None)}
    opened = PortalBoard(tmp_path / "flash", Hardware(networks=near))
    yield opened
    opened.close()


def _check(phone, axe, width):
    phone.run(axe)
    assert phone.run(AUDIT, is_awaited=True) == "[]"
    assert phone.run("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [320, 360])
@pytest.mark.parametrize("language", ["en", "de"])
def test_axe_finds_nothing_in_light_and_dark(portal, axe, tmp_path, width, language):
    port = portal.phone().port
    for is_dark in (False, True):
        phone = Browser(tmp_path / f"browser-{is_dark}", port, language, width)
        try:
            if is_dark:
                phone.be_dark()
            _go_through(portal, phone, axe, width)
        finally:
            phone.close()


def _go_through(portal, phone, axe, width):
    """All that the page can show but its last sentence."""
    phone.open(f"http://{ADDRESS}/")
    _check(phone, axe, width)
    phone.send(**ENTERED | {"facility": "../x", "pin": PIN})
    eventually(lambda: phone.has("bakery"))  # what is wrong is said
    _check(phone, axe, width)
    tried = len(portal.output)
    phone.send(**ENTERED, pin=PIN)
    eventually(lambda: phone.has("…"))  # it is tried
    phone.run("for (let i = 0; i < 99; i++) clearInterval(i)")  # stay there
    _check(phone, axe, width)
    eventually(lambda: len(portal.output) > tried)  # in vain
    phone.open(f"http://{ADDRESS}/")
    _check(phone, axe, width)  # with the reason
