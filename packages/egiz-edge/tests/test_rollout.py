"""Releases that a configuration orders, on a virtual board."""

import json
from datetime import UTC, datetime, timedelta

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge import slots
from egiz_schema import Command, Config, Firmware, Topic, encode
from rig.device import DEVICE
from rig.process import free_port
from rig.rollouts import CRASHES
from rig.waiting import eventually

CONFIG = Topic("factory", DEVICE, "config")
COMMAND = Topic("factory", DEVICE, "command")


@pytest.fixture
def board(device, mosquitto, rollouts, tmp_path, monkeypatch):
    """A factory of devices with keys, and with the flash of the one before."""
    monkeypatch.setattr(board_module, "stage", rollouts.install)
    flash = tmp_path / f"flash-{DEVICE}"
    rollouts.provision(flash)

    def make(**identity):
        return device(mosquitto, **identity)

    make.flash = flash
    return make


def _configure(live, firmware=None, **members):
    config = Config(device_id=DEVICE, firmware=firmware, **members)
    live.publish(CONFIG, encode(config), retain=True)


def _wanted(server, version="0.2.0", **more):
    return Firmware(version=version, url=server.directory, **more)


def _updates(live):
    """State, version and reason of the update in each status, repeated ones once."""
    found = [
        (m.ota.state, m.ota.version, m.ota.error)
        for m in live.messages(DEVICE, "status")
        if m.ota
    ]
    return [one for at, one in enumerate(found) if not at or found[at - 1] != one]


def _status(live, is_so):
    return live.first(DEVICE, "status", is_so)


def _rev(message):
    return message.config.rev if message.config else None


def _wait_of_device(live, seconds):
    """Until the device has published for so long: it does so each second."""
    before = len(live.messages(DEVICE, "telemetry"))
    eventually(lambda: len(live.messages(DEVICE, "telemetry")) > before + seconds)


def _boots(running):
    return len(running._board.boots)  # noqa: SLF001  # what it is about


def test_a_retained_configuration_is_applied_and_then_brings_the_next_release(
    board, live, serve_release, rollouts
):
    server = serve_release(rollouts.release())
    _configure(live, _wanted(server), rev=3, publish_rate_ms=400)
    running = board()
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)
    states = [state for state, _, _ in _updates(live)]
    assert [s for s in states if s != "waiting"] == ["updating", "trial", "done"]
    ordered = _status(live, lambda m: m.ota and m.ota.state == "updating")
    assert (ordered.config.rev, ordered.config.applied) == (3, True)
    last = live.messages(DEVICE, "status")[-1]
    assert (last.firmware_version, last.config.rev) == ("0.2.0", 3)
    assert slots.read(str(board.flash)) == ("b", "-", 0, "confirmed")
    assert not [line for line in running.output if "failed" in line]
    assert live.rejected == []


def test_of_a_percent_without_this_device_nothing_is_done_and_nothing_said(
    board, live, serve_release, rollouts
):
    server = serve_release(rollouts.release())
    board()
    for rev, percent in ((1, 0), (2, 10)):
        _configure(live, _wanted(server, percent=percent), rev=rev)
        _status(live, lambda m, rev=rev: _rev(m) == rev)
    _wait_of_device(live, 4)  # longer than any wait here
    assert _updates(live) == []
    assert server.requests == []
    _configure(live, _wanted(server, percent=100), rev=3)
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)


def test_a_release_that_crashes_is_rolled_back_and_tried_by_no_later_boot(
    board, live, serve_release, rollouts
):
    content = rollouts.release(replaced={"egiz_edge/uplink.py": CRASHES})
    crashing = serve_release(content)
    _configure(live, _wanted(crashing), rev=1)
    first = board()
    reason = "crash: ValueError('broken release',)"
    rolled_back = ("rolled_back", "0.2.0", reason)
    eventually(lambda: rolled_back in _updates(live), 90)
    fetched, booted = len(crashing.requests), _boots(first)
    for _ in range(2):
        first.kill()
        first = board()
        _wait_of_device(live, 4)  # longer than any wait here
        assert _boots(first) == 1
    assert _updates(live)[-1] == rolled_back  # the reason stays
    # Who orders the same once more gets an answer, and no update.
    _configure(live, _wanted(crashing), rev=2)
    refused = ("refused", "0.2.0", "0.2.0 was rolled back")
    eventually(lambda: refused in _updates(live))
    assert len(crashing.requests) == fetched
    assert slots.read(str(board.flash))[0] == "a"
    # Another order is another one.
    server = serve_release(rollouts.release("0.3.0"))
    _configure(live, _wanted(server, "0.3.0"), rev=3)
    eventually(lambda: ("done", "0.3.0", None) in _updates(live), 90)
    # The first one, updater, proof, three tries and the version before.
    assert booted == 7
    assert live.rejected == []


def test_a_release_that_cannot_be_confirmed_is_rolled_back(
    board, live, serve_release, rollouts
):
    """It would refuse every later order and command, as one is on trial."""
    _configure(live, _wanted(serve_release(rollouts.release())), rev=1)
    board()
    stored = board.flash / "store_ota"
    eventually(lambda: '"trial"' in stored.read_text())
    (board.flash / "store_floor").write_text("damaged")
    eventually(lambda: [u for u in _updates(live) if u[0] == "rolled_back"], 120)
    assert _updates(live)[-1][2].startswith("not confirmed: ValueError(")
    assert slots.read(str(board.flash))[:3] == ("a", "-", 0)


class _Nowhere:
    """Where no server is."""

    def __init__(self):
        self.directory = f"http://127.0.0.1:{free_port()}"


def test_without_a_server_two_updates_are_tried_and_the_reboots_end(board, live):
    _configure(live, _wanted(_Nowhere()), rev=1)
    running = board()
    again = lambda: [u for u in _updates(live) if u[0] == "updating"][1:]  # noqa: E731
    eventually(again, 90)
    eventually(lambda: _updates(live)[-1][0] == "failed")
    booted = _boots(running)
    assert booted == 5  # the first one, and of each order the updater and the app
    _wait_of_device(live, 8)  # longer than the wait before the second one
    assert _boots(running) == booted
    failed = [update for update in _updates(live) if update[0] == "failed"]
    assert {error[:9] for _, _, error in failed} == {"no server"}
    _configure(live, _wanted(_Nowhere()), rev=2, publish_rate_ms=500)
    eventually(lambda: len([u for u in _updates(live) if u[0] == "updating"]) > 2, 90)


def _window(begin, end):
    """Of minutes from now on."""
    now = datetime.now(UTC)
    ends = [now + timedelta(minutes=minutes) for minutes in (begin, end)]
    return "-".join(one.strftime("%H:%M") for one in ends)


def test_a_window_is_waited_for_also_over_a_power_cut_and_until_it_is_taken_back(
    board, live, serve_release, rollouts
):
    server, window = serve_release(rollouts.release()), _window(60, 120)
    _configure(live, _wanted(server, window=window), rev=1)
    running = board()
    waiting = ("waiting", "0.2.0", f"window {window}")
    eventually(lambda: _updates(live) == [waiting])
    running.kill()
    board()
    born = _status(live, lambda m: m.boot == 2)
    assert (born.ota.state, born.ota.error) == ("waiting", f"window {window}")
    _configure(live, rev=2)
    _status(live, lambda m: _rev(m) == 2 and m.ota is None)
    _configure(live, _wanted(server, window=window), rev=3)
    _status(live, lambda m: _rev(m) == 3 and m.ota)
    _configure(live, _wanted(server, window=window, percent=0), rev=4)
    _status(live, lambda m: _rev(m) == 4 and m.ota is None)
    assert server.requests == []
    _configure(live, _wanted(server, window=_window(-60, 60)), rev=5)
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)


def test_a_window_waits_for_a_clock_that_is_set(
    board, live, serve_release, rollouts, hardware, chrony
):
    hardware.is_clock_set = False
    chrony.stop()
    server = serve_release(rollouts.release())
    _configure(live, _wanted(server, window=_window(-60, 60)), rev=1)
    board(ntp=f"{chrony.host}:{chrony.port}")
    eventually(lambda: ("waiting", "0.2.0", "clock not set") in _updates(live))
    chrony.start()
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"percent": 101}, "firmware.percent: not 0..100"),
        ({"window": "25:00-x"}, "firmware.window: not like 22:00-04:00"),
        (
            {"url": "http://u.lan/a b"},
            "firmware: version or url has a space, or is not ASCII",
        ),
        ({"url": "http://" + "u" * 300}, "firmware.url: not 1..200 characters"),
        (
            {"url": "http://user:secret@u.lan"},
            "firmware.url: its server is not HOST or HOST:PORT",
        ),
    ],
)
def test_an_order_that_cannot_be_obeyed_is_refused_with_the_configuration(
    board, live, wrong, reason
):
    running = board()
    firmware = {"version": "0.2.0", "url": "http://u.lan"} | wrong
    document = {"device_id": DEVICE, "rev": 1, "firmware": firmware}
    live.publish(CONFIG, json.dumps(document).encode(), retain=True)
    refused = _status(live, lambda m: m.config).config
    assert (refused.applied, refused.error) == (False, reason)
    assert _updates(live) == []
    assert _boots(running) == 1


def test_a_network_is_confirmed_before_the_update_of_its_configuration_begins(
    board, live, serve_release, rollouts, mosquitto, proxy
):
    server = serve_release(rollouts.release())
    between = proxy(mosquitto.host, mosquitto.port)
    board()
    _status(live, lambda m: m.state == "online")
    broker = f"{between.host}:{between.port}"
    _configure(live, _wanted(server), rev=1, mqtt_broker=broker)
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)
    ordered = _status(live, lambda m: m.ota and m.ota.state == "updating")
    assert (ordered.config.rev, ordered.config.applied) == (1, True)


def test_what_a_command_has_taken_back_the_configuration_does_not_bring_again(
    board, live, serve_release, rollouts
):
    _configure(live, _wanted(serve_release(rollouts.release())), rev=1)
    running = board()
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)
    booted = _boots(running)
    command = Command(
        device_id=DEVICE, id="r1", action="rollback", args={"confirm": DEVICE}
    )
    live.publish(COMMAND, encode(command))
    back = ("rolled_back", "0.2.0", "command")
    eventually(lambda: back in _updates(live), 90)
    _wait_of_device(live, 4)  # longer than any wait here
    assert _updates(live)[-1] == back
    assert _boots(running) == booted + 1


def test_an_order_is_obeyed_after_a_power_cut_without_the_broker(
    board, live, serve_release, rollouts, hardware, mosquitto
):
    hardware.is_clock_set = False  # and there is no time server
    server = serve_release(rollouts.release())
    _configure(live, _wanted(server, window=_window(-60, 60)), rev=1)
    running = board()
    eventually(lambda: ("waiting", "0.2.0", "clock not set") in _updates(live))
    running.kill()
    mosquitto.kill()
    hardware.is_clock_set = True
    board()
    eventually(lambda: server.requests)
    mosquitto.start()
    eventually(lambda: slots.read(str(board.flash)) == ("b", "-", 0, "confirmed"), 90)


def test_a_board_without_keys_says_so_and_is_not_reset(
    board, live, serve_release, rollouts
):
    (board.flash / "store_root").unlink()
    running = board()
    _configure(live, _wanted(serve_release(rollouts.release())), rev=1)
    eventually(lambda: ("refused", "0.2.0", "no key") in _updates(live))
    _wait_of_device(live, 4)  # longer than any wait here
    assert _boots(running) == 1


def test_a_flash_that_cannot_count_the_updates_boots_does_not_reset_the_board_for_ever(
    board, live, serve_release, rollouts
):
    server, data = serve_release(rollouts.release()), board.flash / "data"
    running = board()
    eventually(lambda: live.messages(DEVICE, "telemetry"))
    running.kill()
    (data / "ota.new").mkdir()  # nothing can be written there
    (data / "ota").write_text(f"version 0.2.0\ntries 0\nurl {server.directory}\n")
    slots.write(str(board.flash), "a")
    running = board()
    _wait_of_device(live, 3)
    assert _boots(running) == 1
    running.kill()
    (data / "ota.new").rmdir()
    board()
    eventually(lambda: ("done", "0.2.0", None) in _updates(live), 90)
