"""An outage of the Wi-Fi on a board with a label, in virtual time.

The board measures and keeps; it opens its own network, and its portal for a phone only.
"""

import json
from pathlib import Path

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools.hardware import Network
from egiz_edge_tools.virtual_board import Identity
from rig.device import DEVICE
from rig.phone import KEY, PIN, SSID
from rig.virtual_day import VirtualDay
from rig.waiting import eventually

PROGRAM = "".join(
    (Path(__file__).parent / "virtual_time" / name).read_text()
    for name in ("clock.py", "day.py")
)
OUTAGE_S = 20 * 60
WINDOW = 300  # messages in the outbox: 25 minutes


@pytest.fixture
def day(micropython, mosquitto, hardware, tmp_path, monkeypatch):
    """A board with a label, whose outbox has room for all of the outage."""
    del micropython  # whether there is an interpreter
    written = board_module._settings  # noqa: SLF001  # no argument names a network
    more = {
        "wifi_ssid": "Factory",
        "wifi_password": "a password",
        "buffer_size": WINDOW,
    }
    monkeypatch.setattr(
        board_module,
        "_settings",
        lambda *given: json.dumps(json.loads(written(*given)) | more),
    )
    hardware.networks = {"Factory": Network("a password")}
    identity = Identity("factory", DEVICE, mosquitto.host, mosquitto.port)
    flash = tmp_path / "flash"
    made = VirtualDay(identity, hardware, flash, PROGRAM)
    (flash / "store_label").write_text(f"{SSID} {KEY} {PIN}")
    (flash / "label").touch()
    yield made
    print(made.boots)  # noqa: T201  # shown if it fails
    made.kill()


def _put_wifi(day, hardware, broker, *, is_there):
    """Where it goes, so do connections: the virtual board's would outlive it."""
    hardware.has_wifi = is_there
    day.change_world()
    if not is_there:
        broker.stop()
        broker.start()


def _opened(day):
    file = day.now_file.with_name("ap")
    return json.loads(file.read_text())[0] if file.exists() else None


def _seqs(live, boot=1):
    return {m.seq for m in live.messages(DEVICE, "telemetry") if m.boot == boot}


def test_twenty_minutes_without_wifi_and_phone_lose_no_sample_and_reset_nothing(
    day, hardware, live, mosquitto
):
    day.switch_on()
    before = day.run(60)
    _put_wifi(day, hardware, mosquitto, is_there=False)
    day.run(290)
    assert _opened(day) is None
    counts = day.run(OUTAGE_S - 290)
    assert _opened(day) == SSID
    assert counts.samples - before.samples >= OUTAGE_S - 1
    assert counts.longest_ms < 1500
    assert (counts.dropped, counts.waiting) == (0, counts.made - before.telemetry)
    joins = [line for line in day.boots[0].output if line.startswith("no network")]
    _put_wifi(day, hardware, mosquitto, is_there=True)
    day.run(180)
    assert _opened(day) is None
    ended = day.stop()
    eventually(lambda: _seqs(live) == set(range(ended.counts.made)))
    assert {m.boot for m in live.messages(DEVICE, "telemetry")} == {1}
    assert len(joins) < 60 + 300 + 2 * (OUTAGE_S - 300) // 60
    assert "the Wi-Fi is back: egiz-ab12 is closed" in ended.output


def test_a_phone_in_the_network_opens_the_portal_and_what_waits_is_kept(
    day, hardware, live, mosquitto
):
    day.switch_on()
    day.run(60)
    _put_wifi(day, hardware, mosquitto, is_there=False)
    made = day.run(400).made
    assert _opened(day) == SSID
    day.join_ap(KEY)
    day.order_to(day.now_s + 10)
    output = day.boots[0].output
    eventually(lambda: [line for line in output if line.startswith("portal: join")])
    _put_wifi(day, hardware, mosquitto, is_there=True)
    eventually(lambda: "portal: the Wi-Fi is back; the app runs again" in output)
    day.order_to(day.now_s + 120)
    eventually(lambda: _seqs(live) >= set(range(made)), 60)


def test_a_phone_that_only_stays_in_the_network_keeps_no_board_from_measuring(
    day, hardware, live, mosquitto
):
    day.switch_on()
    day.run(60)
    _put_wifi(day, hardware, mosquitto, is_there=False)
    made = day.run(400).made
    day.join_ap(KEY)
    day.order_to(day.now_s + 10)
    output = day.boots[0].output
    eventually(lambda: [line for line in output if line.startswith("portal: join")])
    day.join_ap(KEY)  # it comes back by itself, and its person is elsewhere
    _put_wifi(day, hardware, mosquitto, is_there=True)
    eventually(lambda: "portal: not used for 10 minutes; the app runs again" in output)
    day.order_to(day.now_s + 700)
    eventually(lambda: _seqs(live) >= set(range(made)), 60)


def test_a_wifi_that_was_never_joined_opens_the_portal_until_it_is_there(
    day, hardware, live, mosquitto
):
    hardware.has_wifi = False
    day.switch_on()
    day.order_to(61)
    output = day.boots[0].output
    reason = "the Wi-Fi Factory was never joined: the portal opens"
    eventually(lambda: reason in output)
    eventually(lambda: "portal: Wi-Fi: no network; tried again in a minute" in output)
    _put_wifi(day, hardware, mosquitto, is_there=True)
    eventually(lambda: "portal: the Wi-Fi is back; the app runs again" in output)
    eventually(lambda: live.messages(DEVICE, "telemetry"))
