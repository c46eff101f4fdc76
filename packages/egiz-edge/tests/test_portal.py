"""The portal under the real interpreter: from a board without settings to telemetry."""

import json
import random
import re
import socket
import time
from importlib.resources import files
from types import SimpleNamespace

import pytest
from egiz_edge import reach
from egiz_edge.portal import page
from egiz_edge_tools.hardware import Hardware, Network
from rig import new_wifi
from rig.browser import Browser
from rig.phone import ADDRESS, KEY, PIN, PortalBoard
from rig.waiting import eventually

SMALL = "88k"  # of the heap; the app has 144k


@pytest.fixture
def near():
    return {"Factory": Network("a password"), 'Büro <2>, "x"': Network(None, -80)}


@pytest.fixture
def opened(micropython, tmp_path, near, compiled_once):
    """A factory of boards with the same flash; a new one is the next power-on."""
    del micropython, compiled_once  # whether there is an interpreter
    made = []

    def make(heap=SMALL):
        while made:
            made.pop().close()
        made.append(PortalBoard(tmp_path / "flash", Hardware(networks=near), heap))
        return made[-1]

    yield make
    while made:
        print(*made[-1].output, sep="\n")  # noqa: T201  # shown if it fails
        made.pop().close()


@pytest.fixture
def fields(mosquitto):
    """What a person enters."""
    return {
        "network": "Factory",
        "key": "a password",
        "device_id": "oven-007",
        "facility": "bakery",
        "broker": f"{mosquitto.host}:{mosquitto.port}",
    }


PROBES = (
    ("captive.apple.com", "/hotspot-detect.html"),
    ("connectivitycheck.gstatic.com", "/generate_204"),
    ("www.msftconnecttest.com", "/connecttest.txt"),
    ("detectportal.firefox.com", "/canonical.html"),
    ("detectportal.firefox.com", "/success.txt?ipv4"),
    ("anything.example", "/"),
)


def test_every_language_has_the_texts_of_the_page_and_no_others():
    directory = files("egiz_edge") / "portal"
    languages = [
        dict(line.split(" ", 1) for line in one.read_text("utf-8").splitlines())
        for one in directory.iterdir()
        if one.name.startswith("texts_")
    ]
    assert len(languages) == 2
    assert languages[0].keys() == languages[1].keys()
    marked = {name[1:] for name in languages[0] if name[0] == "?"}
    names = {name.removeprefix("?") for name in languages[0]}
    shown = (directory / "page.html").read_text("utf-8")
    assert len(shown.encode()) <= 3 * 1024
    named = set(re.findall(r"{{(\w+)}}", shown)) & names
    reasons = {reason for _, reason in reach._REASONS}  # noqa: SLF001  # all there are
    reasons |= {"no_broker", "expired", "wrong_pin", "locked", "wrong_field"}
    reasons.add("not_stored")
    assert names == named | reasons | {"unchanged"}
    # No view of the page needs more than a few of these: they are not all in memory.
    assert marked == reasons | {name for name in names if name.startswith("bad_")}


def test_the_network_until_now_is_in_the_list_and_does_not_win_over_a_choice():
    """It was in the field for the name of a hidden one, which wins."""
    session = SimpleNamespace(
        settings={"wifi_ssid": "Old hall"},
        networks=[("Hall", -60, False)],
        device_id="oven-007",
    )
    assert page._shown(session)["other"] == ""  # noqa: SLF001  # what the page shows
    listed = page._networks(session.networks, "Old hall")  # noqa: SLF001  # as above
    assert [(one["ssid"], one["selected"]) for one in listed] == [
        ("Old hall", " selected"),
        ("Hall", ""),
    ]
    assert len(page._networks(session.networks, "Hall")) == 1  # noqa: SLF001  # as above


def test_a_board_without_settings_gets_them_from_a_phone_and_publishes(
    opened, fields, live, mosquitto
):
    portal = opened("144k")
    phone = portal.phone()
    assert phone.fill(**fields).status == 303
    eventually(lambda: phone.state() == "done")
    assert portal.settings == {
        "wifi_ssid": "Factory",
        "wifi_password": "a password",
        "device_id": "oven-007",
        "facility": "bakery",
        "broker": mosquitto.host,
        "port": mosquitto.port,
    }
    portal.board.leave_ap()
    eventually(lambda: live.messages("oven-007", "telemetry"))
    assert portal.board.boots == ["power_on", "reboot"]
    assert portal.board.access_point is None
    (birth, *_) = live.messages("oven-007", "status")
    assert birth.reset_cause == "reboot: portal"
    assert not [line for line in portal.output if PIN in line or "a password" in line]


def test_what_was_tried_in_vain_is_not_stored_and_the_page_says_why(
    opened, fields, mosquitto, near
):
    portal = opened()
    phone = portal.phone()
    near["Slow"] = Network("a password", fails="no answer in time")
    portal.board.put_world()
    for wrong, reason in (
        ({"key": "another one"}, "the Wi-Fi password is wrong"),
        ({"network": "", "other": "Hidden"}, "the Wi-Fi network was not found"),
        ({"other": "Slow", "key": "a password"}, "did not answer in time"),
        ({"other": "", "broker": f"{mosquitto.host}:1"}, "the broker did not answer"),
        ({"broker": "no.such.name"}, "does not know the name of the broker"),
    ):
        assert phone.fill(**fields | wrong).status == 303
        assert phone.state() == "trying"
        eventually(lambda: phone.state() == "form")
        assert [text for text in phone.get().said if reason in text], reason
        assert portal.settings is None
    # What was right in them need not be entered again: the key and the identity.
    assert (
        phone.fill(broker=fields["broker"], network="Factory", other="").status == 303
    )
    eventually(lambda: phone.state() == "done")
    assert (portal.settings or {})["wifi_password"] == "a password"
    for host, path in PROBES[:-1]:  # the true answers now, which close a phone's sheet
        assert phone.get(path, host).status in {200, 204}


def test_names_and_passwords_of_any_characters_arrive_as_they_were_entered(
    opened, fields, near, tmp_path
):
    every = "_-!\"#$%&'()*+,./:;<=>?@[\\]^`{|}~"
    near |= {" 100% + Bäcker's ": Network(every), "🔥 hall": Network("a🔥🔥&b=c%20")}
    flash = tmp_path / "flash"
    (flash / "data").mkdir(parents=True)
    (flash / "data/boots").write_text("0 portal: command")
    old = {"wifi_ssid": "🔥 hall", "wifi_password": "a🔥🔥&b=c%20"}
    # As `json.dumps` has them: an emoji is two escapes.
    (flash / "settings.json").write_text(json.dumps(old | {"broker": "broker.lan"}))
    others = {"broker": fields["broker"], "facility": "bakery", "device_id": "oven-007"}
    portal = opened()
    phone = portal.phone()
    assert phone.get().fields["network"] == "🔥 hall"
    assert phone.fill(**others).status == 303
    eventually(lambda: phone.state() == "done")
    assert (portal.settings or {}).items() >= old.items()
    portal.board.cut_power()  # else it counts its boots in the same file
    (flash / "data/boots").write_text("0 portal: command")
    entered = {
        "network": " 100% + Bäcker's ",
        "key": every,
        "user": "x",
        "password": every,
    }
    portal = opened()
    phone = portal.phone()
    assert phone.fill(**others | entered).status == 303
    eventually(lambda: phone.state() == "done")
    stored = portal.settings or {}
    assert stored["wifi_ssid"] == " 100% + Bäcker's "
    assert stored["wifi_password"] == stored["password"] == every


def test_a_network_that_is_open_now_is_joined_without_the_password_until_now(
    opened, fields, near, tmp_path
):
    (tmp_path / "flash/data").mkdir(parents=True)
    (tmp_path / "flash/data/boots").write_text("0 portal: command")
    old = {"wifi_ssid": "Factory", "wifi_password": "a password"}
    (tmp_path / "flash/settings.json").write_text(json.dumps(old))
    near["Factory"] = Network(None)
    portal = opened()
    phone = portal.phone()
    assert phone.fill(**fields | {"key": ""}).status == 303
    eventually(lambda: phone.state() == "form")
    assert "has no WPA2" in phone.get().said[0]
    assert phone.fill(**fields | {"key": "", "open": "on"}).status == 303
    eventually(lambda: phone.state() == "done")
    assert "wifi_password" not in (portal.settings or {"wifi_password": 1})


def test_settings_that_cannot_be_stored_are_said_not_to_be_and_nothing_changes(
    opened, fields, tmp_path
):
    in_the_way = tmp_path / "flash/settings.json.new"
    in_the_way.mkdir(parents=True)  # as a full flash, it cannot be written
    portal = opened()
    phone = portal.phone()
    assert phone.fill(**fields).status == 303
    eventually(lambda: phone.state() == "form")
    assert "could not store the settings" in phone.get().said[0]
    assert portal.settings is None
    in_the_way.rmdir()
    assert phone.fill(**fields).status == 303
    eventually(lambda: phone.state() == "done")
    assert portal.settings is not None


def test_a_wrong_field_is_named_and_the_form_keeps_all_but_secrets(opened, fields):
    phone = opened().phone()
    for wrong, said in (
        ({"key": "short"}, "8 to 63 characters"),
        ({"key": "x" * 64}, "8 to 63 characters"),
        ({"network": ""}, "Choose a network"),
        ({"other": "x" * 33}, "Choose a network"),
        ({"device_id": "Oven 1"}, "with a hyphen"),
        ({"facility": "../x"}, "such as bakery"),
        ({"broker": "host:99999"}, "A name or an address"),
        ({"broker": "host:x"}, "A name or an address"),
        ({"broker": ""}, "A name or an address"),
        ({"user": "u" * 201}, "At most 200 bytes"),
    ):
        page = phone.fill(**fields | wrong)
        assert page.status == 200
        assert "Nothing was changed" in page.said[0]
        assert [text for text in page.said if said in text], (wrong, page.said)
        kept = fields | wrong
        for name in ("network", "other", "device_id", "facility", "broker"):
            if wrong != {"network": ""} and name in kept:
                assert page.fields[name] == kept[name]
        assert page.fields["key"] == page.fields["password"] == page.fields["pin"] == ""
    again = phone.get("/save")  # where a browser stands now
    assert (again.status, again.headers["location"]) == (303, "/")
    names = phone.get().networks
    assert names == ["Factory", 'Büro <2>, "x"']  # the strongest first, none damaged
    assert phone.get().fields["device_id"].startswith("device-")


@pytest.mark.usefixtures("micropython", "mosquitto")
def test_a_device_with_mutual_tls_is_brought_into_another_network(tmp_path):
    settings = new_wifi.stored(tmp_path, SMALL)
    assert (settings["wifi_ssid"], "cert" in settings["tls"]) == ("Hall", True)


def test_five_wrong_pins_lock_the_form_also_over_a_power_cut(opened, fields):
    portal = opened()
    phone = portal.phone()
    assert "not the PIN" in phone.fill(**fields, pin="").said[0]
    assert (
        phone.fill(**fields | {"network": "x" * 40}).status == 200
    )  # right: from 0 on
    for pin in ("123457", "12345", "1234567"):
        page = phone.fill(**fields, pin=pin)
        assert "not the PIN" in page.said[0]
        kept = {name: page.fields[name] for name in fields}
        assert kept == fields | {"key": ""}  # all but the secrets
        assert page.fields["pin"] == page.fields["password"] == ""
    portal = opened()
    phone = portal.phone()
    assert "not the PIN" in phone.fill(**fields, pin="0").said[0]
    assert "Too many" in phone.fill(**fields, pin="1").said[0]
    assert "Too many" in phone.fill(**fields).said[0]
    assert portal.settings is None
    portal = opened()
    assert "Too many" in portal.phone().fill(**fields, pin="2").said[0]
    portal = opened()
    assert portal.phone().fill(**fields).status == 303  # one try for each power-on


def test_strangers_cost_neither_memory_nor_the_page(opened, fields):
    portal = opened()
    phone = portal.phone()
    with pytest.raises(PermissionError):
        portal.board.join_ap(KEY[:-1])
    _no_other_page_can_send_the_form(phone, fields)
    _every_name_leads_to_the_page(phone)
    _languages(phone)
    junk = random.Random(7)
    for _ in range(300):
        phone.send_datagram(junk.randbytes(junk.randrange(600)))
    _idle_sockets_do_not_keep_the_page_away(phone)
    for _ in range(40):
        for request, status in REFUSED:
            answer = phone.raw(request)
            assert answer.startswith(b"HTTP/1.1 " + status), request[:40]
    for _ in range(300):
        phone.raw(junk.randbytes(junk.randrange(1, 300)) + b"\n\n")
    assert phone.fill(**fields).status == 303
    eventually(lambda: phone.state() == "done")
    assert not [line for line in portal.output if "Memory" in line], portal.output
    assert portal.board.boots == ["power_on"]


HEAD = b"POST /save HTTP/1.1\r\nHost: " + ADDRESS.encode() + b"\r\n"
REFUSED = (
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 25 + b"\r\n", b"431"),
    (b"GET /" + b"a" * 600, b"431"),
    (bytes(600), b"431"),
    (b"\xff\xfe / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
    (b"GET /\r\n\r\n", b"400 Bad Request"),
    (b"PUT / HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
    (HEAD + b"\r\n", b"411 Length Required"),
    (HEAD + b"Content-Length: -1\r\n\r\n", b"400 Bad Request"),
    (HEAD + b"Content-Length: 99999\r\n\r\n", b"413 Content Too Large"),
    (HEAD + b"Content-Length: 4\r\n\r\n%zz=", b"400 Bad Request"),
    (b"GET /x HTTP/1.1\r\nHost: " + ADDRESS.encode() + b"\r\n\r\n", b"404 Not Found"),
)


def _no_other_page_can_send_the_form(phone, fields):
    page = phone.get()
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    sent = page.fields | fields | {"pin": PIN}
    assert phone.post(sent, Origin="http://evil.example").status == 403
    assert phone.post(sent | {"token": "0" * 16}).said[0].startswith("The device has")
    assert phone.post(sent, host="evil.example").status == 302
    assert phone.state() == "form"


def _every_name_leads_to_the_page(phone):
    for host, path in PROBES:
        answer = phone.get(path, host)
        assert (answer.status, answer.headers["location"]) == (
            302,
            f"http://{ADDRESS}/",
        )
    question = b"\7captive\5apple\3com\0\0\1\0\1"
    reply = phone.query(b"ab\1\0\0\1\0\0\0\0\0\0" + question)
    assert reply is not None
    assert (reply[:2], reply[-4:]) == (b"ab", socket.inet_aton(ADDRESS))


def _languages(phone):
    for asked, title in (
        ("de-AT,de;q=0.9,en;q=0.8", "Gerät einrichten"),
        ("fr-FR,de;q=0.5", "Gerät einrichten"),
        ("fr", "Set up this device"),
        ("../../x,,;", "Set up this device"),
        ("", "Set up this device"),
    ):
        assert f"<title>{title}</title>" in phone.get(language=asked).body


def _idle_sockets_do_not_keep_the_page_away(phone):
    idle = [socket.create_connection(("127.0.0.1", phone.port)) for _ in range(8)]
    begun = time.monotonic()
    assert phone.get().status == 200
    assert time.monotonic() - begun < 4  # they would end by themselves after 5 s
    for one in idle:
        one.close()


@pytest.fixture
def browser(tmp_path):
    """A factory of browsers: `browser(port, language="de")`."""
    made = []

    def make(port, **options):
        made.append(Browser(tmp_path / f"browser-{len(made)}", port, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_real_browser_gets_from_the_probe_to_done_in_german_and_in_dark(
    opened, fields, browser, proxy, live, near
):
    portal = opened("144k")
    air = proxy("127.0.0.1", portal.phone().port)
    phone = browser(air.port, language="de-DE", width=320)
    phone.be_dark()
    phone.open("http://connectivitycheck.gstatic.com/generate_204")
    eventually(lambda: phone.is_at(f"http://{ADDRESS}/"))
    assert phone.run("document.title") == "Gerät einrichten"
    assert phone.run("document.documentElement.scrollWidth") == 320  # none sideways
    last = phone.run("[...document.forms[0].network.options].at(-1).value")
    assert last == 'Büro <2>, "x"'
    phone.send(**fields, pin="000000")
    eventually(lambda: phone.has("nicht die PIN"))
    assert phone.run("document.forms[0].broker.value") == fields["broker"]
    phone.send(key="not this one", pin=PIN)
    eventually(lambda: phone.has("WLAN-Passwort ist falsch"))
    assert portal.settings is None
    near["Factory"].joins_s = 3.0  # time to see that it is tried
    portal.board.put_world()
    phone.send(key=fields["key"], pin=PIN)
    eventually(lambda: phone.has("Wird ausprobiert"))
    air.refuse()  # the network of the board moves to another channel
    eventually(lambda: portal.settings)
    air.accept()
    eventually(lambda: phone.has("Fertig"))
    portal.board.leave_ap()
    eventually(lambda: live.messages("oven-007", "telemetry"))


def test_a_browser_without_scripts_gets_there_as_well(opened, fields, browser):
    portal = opened()
    phone = browser(portal.phone().port)
    phone.forbid_scripts()
    phone.open(f"http://{ADDRESS}/")
    assert phone.run("document.getElementById('show').hidden") is True
    phone.send(**fields, pin=PIN)
    eventually(lambda: phone.has("Done."))  # the page has loaded itself again
    assert portal.settings is not None
    assert phone.run("document.querySelector('#show')") is None
