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
DONE = {"en": "It restarts now", "de": "Es startet jetzt neu"}
# A rule that needs the eye of a person says "incomplete": there must be none of them.
AUDIT = "axe.run().then(r => JSON.stringify([...r.violations, ...r.incomplete]))"


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core."""
    directory = node.install(tmp_path_factory.mktemp("npm"), "axe-core")
    return (directory / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@pytest.fixture
def portal(micropython, compiled_once, tmp_path):
    del micropython, compiled_once  # whether there is an interpreter
    near = {"Factory": Network("a password", joins_s=3), "x" * 32: Network(None)}
    opened = PortalBoard(tmp_path / "flash", Hardware(networks=near))
    yield opened
    opened.close()


@pytest.fixture
def browser(tmp_path):
    """A factory of phones of one language."""
    made = []

    def make(port, language):
        made.append(Browser(tmp_path / "browser", port, language))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _check(phone, axe):
    """At both widths, light and dark."""
    phone.run(axe)
    for width in (320, 360):
        phone.resize(width)
        for is_dark in (False, True):
            phone.be_dark(is_dark)
            assert phone.run(AUDIT, is_awaited=True) == "[]", (width, is_dark)
            assert phone.run("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("language", ["en", "de"])
def test_axe_finds_nothing_in_all_that_the_page_can_show(
    portal, axe, browser, mosquitto, language
):
    phone = browser(portal.phone().port, language)
    phone.open(f"http://{ADDRESS}/")
    _check(phone, axe)
    phone.send(**ENTERED | {"facility": "../x", "pin": PIN})
    eventually(lambda: phone.has("bakery"))  # what is wrong is said
    _check(phone, axe)
    tried = len(portal.output)
    phone.send(**ENTERED, pin=PIN)
    eventually(lambda: phone.has("…"))  # it is tried
    phone.run("for (let i = 0; i < 99; i++) clearInterval(i)")  # stay there
    _check(phone, axe)
    eventually(lambda: len(portal.output) > tried)  # in vain
    phone.open(f"http://{ADDRESS}/")
    _check(phone, axe)  # with the reason, and the password that is kept
    phone.send(broker=f"{mosquitto.host}:{mosquitto.port}", user="", pin=PIN)
    eventually(lambda: phone.run("document.querySelectorAll('form').length") == 0)
    eventually(lambda: phone.has(DONE[language]))
    _check(phone, axe)
