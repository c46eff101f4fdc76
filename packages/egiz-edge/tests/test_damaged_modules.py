"""Modules that do not load in the middle of running: flash that fails, or no memory.

Also a module that is loaded again and again must not change what is in flash, nor leave
anybody without an answer.
"""

from importlib.resources import files

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools.bundle import stage
from egiz_schema import Alert, Command, Config, Topic, encode
from rig.device import DEVICE
from rig.waiting import eventually

COMMAND = Topic("factory", DEVICE, "command")
CONFIG = Topic("factory", DEVICE, "config")
# Put before a module: it does not load as often as the file says.
FAILS = """
def _fail():
    import os
    try:
        with open("/data/fault") as file:
            left = int(file.read())
        if left > 1:
            with open("/data/fault", "w") as file:
                file.write(str(left - 1))
        else:
            os.remove("/data/fault")
    except OSError:
        return
    raise %s
_fail()
"""
ERRORS = {  # what a module raises -> the reason that is said
    "MemoryError()": "no memory for it",
    "OSError(5)": "OSError(5,)",
    "ValueError('incompatible .mpy file')": "ValueError('incompatible .mpy file',)",
    "ImportError('no module')": "ImportError('no module',)",
}
OFTEN = 1000


@pytest.fixture
def failing(device, monkeypatch):
    """A factory of devices with a module that fails once there is a fault."""

    def make(broker, module, error):
        package, _, path = module.partition("/")
        code = FAILS % error + (files(package) / path).read_text("utf-8")

        def staged(directory, *_):
            stage(directory, replaced={module: code})

        monkeypatch.setattr(board_module, "stage", staged)
        return device(broker)

    return make


# Says when it is loaded; of what it makes, there is no memory once there is a fault.
SAYS_LOADED = """
print("alerts loaded")
class _Alerts(Alerts):
    def __init__(self, wanted):
        import os
        super().__init__(wanted)
        if "fault" in os.listdir("/data"):
            raise MemoryError
Alerts = _Alerts
"""


@pytest.fixture
def with_alerts(device, monkeypatch):
    """A factory of devices that print `alerts loaded`."""

    def make(broker):
        code = (files("egiz_edge") / "alerts.py").read_text("utf-8") + SAYS_LOADED

        def staged(directory, *_):
            stage(directory, replaced={"egiz_edge/alerts.py": code})

        monkeypatch.setattr(board_module, "stage", staged)
        return device(broker)

    return make


@pytest.fixture
def fault(tmp_path):
    """A file, to be written once there is a device."""
    return tmp_path / f"flash-{DEVICE}" / "data" / "fault"


def _statuses(live):
    return live.messages(DEVICE, "status")


def _answer(live, command_id):
    def given():
        last = [m.last_command for m in _statuses(live) if m.last_command]
        return [(one.result, one.error) for one in last if one.id == command_id]

    return eventually(given)[0]


def _send(live, command_id):
    command = Command(device_id=DEVICE, id=command_id, action="identify")
    live.publish(COMMAND, encode(command))


@pytest.mark.parametrize("error", ERRORS)
def test_a_command_for_which_the_contract_does_not_load_is_refused_by_its_id(
    failing, mosquitto, live, fault, error
):
    failing(mosquitto, "egiz_schema/orders.py", error)
    eventually(lambda: _statuses(live))
    fault.write_text("1")
    _send(live, "c1")
    assert _answer(live, "c1") == ("refused", ERRORS[error])
    _send(live, "c2")
    assert _answer(live, "c2") == ("done", None)


def _config(live, rev, alerts=None):
    config = Config(device_id=DEVICE, rev=rev, publish_rate_ms=700, alerts=alerts)
    live.publish(CONFIG, encode(config), retain=True)


def _births(live, seen):
    """Those after so many statuses; the last will of the board before may be late."""
    return [m for m in _statuses(live)[seen:] if m.state == "online"]


def _in_force(live):
    configs = [m.config for m in _statuses(live) if m.config]
    return [one.rev for one in configs if one.applied]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("times", [1, OFTEN])
def test_a_config_is_tried_again_and_then_refused_with_the_reason(
    failing, mosquitto, live, fault, error, times
):
    failing(mosquitto, "egiz_schema/orders.py", error)
    eventually(lambda: _statuses(live))
    fault.write_text(str(times))
    _config(live, 4)
    if times == 1:
        eventually(lambda: 4 in _in_force(live))
        return
    refused = eventually(lambda: [m for m in _statuses(live) if m.config])[0].config
    assert (refused.applied, refused.error) == (False, ERRORS[error])
    fault.unlink()
    _config(live, 5)
    eventually(lambda: 5 in _in_force(live))


@pytest.mark.parametrize("error", [one for one in ERRORS if one != "MemoryError()"])
def test_a_config_in_force_stays_where_the_contract_does_not_load_at_a_boot(
    failing, device, mosquitto, live, fault, error
):
    first = failing(mosquitto, "egiz_schema/orders.py", error)
    eventually(lambda: _statuses(live))
    _config(live, 4)
    eventually(lambda: 4 in _in_force(live))
    live.publish(CONFIG, b"", retain=True)
    first.kill()
    before = (fault.parent / "config.json").read_bytes()
    seen = len(_statuses(live))
    fault.write_text("1")
    second = device(mosquitto)
    born = eventually(lambda: _births(live, seen))[0]
    assert (born.config.rev, born.config.applied) == (4, True)
    assert (fault.parent / "config.json").read_bytes() == before
    assert not any("deleted" in line for line in second.output)


@pytest.mark.parametrize("error", ERRORS)
def test_an_order_for_which_the_updater_does_not_load_ends_and_says_so(
    failing, device, mosquitto, live, fault, error
):
    first = failing(mosquitto, "egiz_edge/ota/boot.py", error)
    eventually(lambda: _statuses(live))
    first.kill()
    order = "version 0.2.0\nurl http://127.0.0.1:9/x\ntries 0\n"
    (fault.parent / "ota").write_text(order)
    (fault.parents[1] / "slot").write_text("a - 0 ")  # as an order leaves it
    seen = len(_statuses(live))
    fault.write_text("1")
    second = device(mosquitto)
    born = eventually(lambda: _births(live, seen))[0]
    assert (born.ota.state, born.ota.version) == ("failed", "0.2.0")
    assert born.ota.error == "updater: did not run"
    assert any(error[:5] in line for line in second.output)
    assert not (fault.parent / "ota").exists()


@pytest.mark.parametrize("module", ["processing", "incoming", "commands", "actions"])
def test_a_button_is_obeyed_though_no_message_can_be_processed(
    failing, mosquitto, live, fault, module
):
    running = failing(mosquitto, f"egiz_edge/{module}.py", "OSError(5)")
    eventually(lambda: _statuses(live))
    fault.write_text(str(OFTEN))
    _send(live, "c1")
    eventually(lambda: any("OSError(5,)" in line for line in running.output))
    (fault.parents[1] / "pin_button").write_text("1")
    eventually(lambda: any("button" in line for line in running.output))
    fault.unlink()
    assert _answer(live, "c1") == ("done", None)


def _refused(live):
    return [m.config.refused for m in _statuses(live) if m.config and m.config.refused]


def test_a_config_that_is_not_in_force_keeps_no_module_in_memory(
    with_alerts, mosquitto, live, fault
):
    running = with_alerts(mosquitto)
    eventually(lambda: _statuses(live))
    wanted = {"electrical_voltage_a": Alert(max=250.0)}
    fault.write_text("1")
    _config(live, 1, wanted)
    assert eventually(lambda: _refused(live))[0].error == "no memory for it"
    assert running.output.count("alerts loaded") == 3  # once for each try
    fault.unlink()
    for rev, loads in ((2, 4), (3, 4), (4, 4), (5, 5)):
        _config(live, rev, None if rev == 4 else wanted)
        eventually(lambda rev=rev: rev in _in_force(live))
        assert running.output.count("alerts loaded") == loads, rev
