"""When a board that has settings opens its portal, and the factory reset."""

import json

import pytest
from egiz_edge_tools.hardware import Network
from egiz_schema import Command, Config, Topic, encode
from rig.device import DEVICE
from rig.phone import KEY, LABEL, PIN, SSID, PortalBoard
from rig.waiting import eventually

COMMAND = Topic("factory", DEVICE, "command")


@pytest.fixture
def board(micropython, mosquitto, hardware, compiled_once, tmp_path):
    """A factory of boards with the same flash: a label, and settings that work."""
    del micropython, compiled_once  # whether there is an interpreter
    hardware.networks = {"Factory": Network("a password")}
    flash = tmp_path / "flash"
    flash.mkdir()
    settings = {
        "wifi_ssid": "Factory",
        "wifi_password": "a password",
        "device_id": DEVICE,
        "facility": "factory",
        "broker": mosquitto.host,
        "port": mosquitto.port,
        "sampling_rate_ms": 200,
        "publish_rate_ms": 500,
    }
    (flash / "settings.json").write_text(json.dumps(settings))
    made = []

    def make(damaged=None, *, has_label=True, boots=None):
        while made:
            made.pop().close()
        if boots is not None:
            (flash / "data").mkdir(exist_ok=True)
            (flash / "data/boots").write_text(boots)
        if damaged is not None:
            (flash / "settings.json").write_text(damaged)
        made.append(PortalBoard(flash, hardware, label=LABEL if has_label else None))
        return made[-1]

    yield make
    while made:
        made.pop().close()


def _send(live, command_id, action, **args):
    command = Command(device_id=DEVICE, id=command_id, action=action, args=args)
    live.publish(COMMAND, encode(command))


def _until_done(live, command_id):
    eventually(
        lambda: [
            m
            for m in live.messages(DEVICE, "status")
            if m.last_command
            and (m.last_command.id, m.last_command.result) == (command_id, "done")
        ]
    )


def _until_telemetry(live, boot):
    eventually(
        lambda: [m for m in live.messages(DEVICE, "telemetry") if m.boot == boot]
    )


def _hold_button(portal, until):
    """Press it until the console says this, and release it."""
    said = len(portal.output)
    portal.board.hardware.pins["button"] = 1
    portal.board.put_world()
    eventually(lambda: [line for line in portal.output[said:] if until in line])
    portal.board.hardware.pins["button"] = 0
    portal.board.put_world()


def test_the_command_opens_the_portal_and_a_power_cut_closes_it(board, live):
    portal = board()
    _until_telemetry(live, 1)
    before = portal.settings
    _send(live, "open", "portal")
    _until_done(live, "open")
    page = portal.phone().get()
    assert portal.board.boots == ["power_on", "reboot"]
    assert page.fields["device_id"] == DEVICE
    portal = board()
    _until_telemetry(live, 2)  # and no boot of the portal was counted
    assert portal.board.access_point is None
    assert portal.settings == before


@pytest.mark.parametrize(
    "damaged", ["{", "[]", '{"facility": 7, "wifi_ssid": 5, "device_id": "oven-001"}']
)
def test_settings_that_cannot_be_used_open_the_portal_too(board, live, damaged):
    given = board().settings
    portal = board(damaged)
    phone = portal.phone()
    assert portal.board.boots == ["power_on", "reboot"]
    assert [line for line in portal.output if line.startswith("settings.json: ")]
    fields = {name: given[name] for name in ("device_id", "facility")}
    fields |= {"network": "Factory", "key": "a password"}
    fields["broker"] = f"{given['broker']}:{given['port']}"
    assert phone.fill(**fields).status == 303
    eventually(lambda: phone.state() == "done")
    portal.board.leave_ap()
    eventually(lambda: live.messages(DEVICE, "telemetry"))


def test_a_label_that_is_lost_resets_no_board_for_ever(board):
    """The file says that there is one; the store has lost it, as an erased NVS has."""
    portal = board("{", has_label=False)
    eventually(lambda: [line for line in portal.output if "egiz-edge label" in line])
    assert portal.board.boots == ["power_on", "reboot"]


def test_the_button_opens_the_portal_and_held_longer_is_a_factory_reset(board, live):
    portal = board()
    _until_telemetry(live, 1)
    _hold_button(portal, "and the portal opens")
    phone = portal.phone()
    assert portal.settings is not None
    _hold_button(portal, "for a factory reset")
    eventually(lambda: portal.settings is None)
    eventually(lambda: portal.board.boots == ["power_on", "reboot", "reboot"])
    phone = portal.phone()
    assert phone.get().fields["facility"] == ""
    assert phone.fill(pin="000000").said[0].startswith("This is not the PIN")


@pytest.mark.parametrize(
    ("until", "has_settings"),
    [("and the portal opens", True), ("for a factory reset", False)],
)
def test_the_button_does_the_same_in_safe_mode(board, until, has_settings):
    portal = board(boots="5 crash: test")
    eventually(lambda: "safe mode: crash: test" in portal.output)
    _hold_button(portal, until)
    assert portal.phone().get().status == 200
    assert portal.board.boots == ["power_on", "reboot"]
    assert (portal.settings is not None) is has_settings


def test_a_factory_reset_by_command_keeps_label_counter_and_slots(board, live):
    portal = board()
    _until_telemetry(live, 1)
    config = Config(device_id=DEVICE, rev=9, publish_rate_ms=300)
    live.publish(Topic("factory", DEVICE, "config"), encode(config), retain=True)
    eventually((portal.flash / "data/config.json").exists)
    (portal.flash / "key.der").write_text("secret")
    _send(live, "no", "factory_reset", confirm="oven-002")
    _send(live, "wipe", "factory_reset", confirm=DEVICE)
    _until_done(live, "wipe")
    eventually(lambda: portal.board.access_point == SSID)
    assert portal.settings is None
    assert not (portal.flash / "key.der").exists()
    assert [path.name for path in (portal.flash / "data").iterdir()] == ["boots"]
    kept = {path.name for path in portal.flash.glob("store_*")}
    assert kept >= {"store_label", "store_boot", "store_command_ids"}
    assert not kept & {"store_config", "store_joined", "store_last_command"}
    assert (portal.flash / "store_label").read_text() == f"{SSID} {KEY} {PIN}"
    assert (portal.flash / "slot").exists()
    assert not [line for line in portal.output if "a password" in line]
