"""A day of virtual time in which each hour brings another fault.

The ledger of samples, messages, drops and resets adds up, only a power cut resets the
device, and after each hour it answers a command within ten seconds.
"""

import json
from pathlib import Path

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge_tools.hardware import Network
from egiz_edge_tools.virtual_board import Identity
from rig.device import DEVICE
from rig.factory_names import FactoryNames
from rig.faults import COMMAND, CONFIG, ONE_OF_EACH, OTHERS, World
from rig.time_server import TimeServer
from rig.virtual_day import VirtualDay
from rig.waiting import eventually

PROGRAM = "".join(
    (Path(__file__).parent / "virtual_time" / name).read_text()
    for name in ("clock.py", "day.py")
)
ANSWERED_S = 10
RESENT = 10  # messages, after a power cut


@pytest.fixture
def world(micropython, mosquitto, live, hardware, tmp_path, monkeypatch):
    """A factory of worlds; its argument is further settings of the device."""
    del micropython  # whether there is an interpreter
    names = FactoryNames(broker="127.0.0.1", time="127.0.0.1")
    flash = tmp_path / "day"
    times = TimeServer(flash / "now")
    hardware.name_servers = [names.address]
    hardware.networks = {"Factory": Network("a password")}
    made = []

    def make(**settings):
        settings |= {"wifi_ssid": "Factory", "wifi_password": "a password"}
        written = board_module._settings  # noqa: SLF001  # no argument names a network
        monkeypatch.setattr(
            board_module,
            "_settings",
            lambda *given: json.dumps(json.loads(written(*given)) | settings),
        )
        identity = Identity(
            "factory",
            DEVICE,
            "broker.lan",
            mosquitto.port,
            ntp=f"time.lan:{times.port}",
        )
        made.append(VirtualDay(identity, hardware, flash, PROGRAM))
        return World(made[-1], mosquitto, live, names, times, hardware)

    yield make
    for day in made:
        for boot in day.boots:
            print(boot.began_s, boot.counts, *boot.output, sep="\n")  # noqa: T201  # shown if it fails
        day.kill()
    names.close()
    times.close()


def _bring(world, faults, fault_s, rest_s):
    """Each fault for so long, and as long a rest; the device answers after each."""
    world.day.switch_on()
    world.day.run(60)
    for number, (name, (fault, said)) in enumerate(faults.items()):
        heard = len(world.live.messages(DEVICE, "telemetry"))
        printed = [len(boot.output) for boot in world.day.boots]
        fault(world, fault_s)
        world.day.run(rest_s)
        _check_answer(world, f"hour-{number}")
        assert said in _said_since(world, heard, printed), name


def _check_answer(world, command_id):
    world.command(command_id, "identify")
    world.day.run(ANSWERED_S)
    expected = (command_id, "done")
    eventually(
        lambda: any(
            m.last_command and (m.last_command.id, m.last_command.result) == expected
            for m in world.live.messages(DEVICE, "status")
        ),
        20,  # for what the broker has by now to reach us
    )


def _said_since(world, heard, printed):
    texts = [
        code
        for m in world.live.messages(DEVICE, "telemetry")[heard:]
        for code in m.status.fault_codes or ()
    ]
    for number, boot in enumerate(world.day.boots):
        begin = printed[number] if number < len(printed) else 0
        texts += boot.output[begin:]
    return "\n".join(texts)


def _check_ledger(world, sampling_s):
    """All that the device has counted, and all that has arrived; gives the figures."""
    day = world.day
    day.stop()
    world.live.until_offline(DEVICE)
    received = [(m.boot, m.seq) for m in world.live.messages(DEVICE, "telemetry")]
    counts = [boot.counts for boot in day.boots]
    *_, totals = day.boots[-1].output
    made = sum(c.made for c in counts)
    unique = len(set(received))
    figures = {
        "boots": len(counts),
        "samples": sum(c.samples for c in counts),
        "made": made,
        "received": unique,
        "again": len(received) - unique,
        "dropped": sum(c.dropped for c in counts),
        "longest_ms": max(c.longest_ms for c in counts),
        "heap": [c.heap for c in counts],
    }
    print(figures)  # noqa: T201  # the figures are what it is for
    cuts = len(counts) - 1
    assert json.loads(totals)["unacked"] == 0
    ours = [
        topic
        for topic, _ in world.live.rejected
        if topic in {str(CONFIG), str(COMMAND)}
    ]
    assert len(ours) == len(world.live.rejected), world.live.rejected
    causes = {
        m.boot: m.reset_cause
        for m in world.live.messages(DEVICE, "status")
        if m.reset_cause
    }
    assert causes == dict.fromkeys(range(1, len(counts) + 1), "power_on")
    # A power cut may lose the newest message, and have ten sent again.
    lost = made - unique - figures["dropped"]
    assert 0 <= lost <= cuts, figures
    assert figures["again"] <= RESENT * cuts + len(world.day.boots), figures
    for boot in day.boots:
        on_s = boot.counts.second - boot.began_s
        assert boot.counts.samples >= on_s // sampling_s - 2, boot.counts
    assert figures["longest_ms"] <= 1000 * sampling_s + 2000, figures
    return figures


def test_after_one_fault_of_each_kind_the_ledger_adds_up(world):
    made = world(sampling_rate_ms=5000, publish_rate_ms=10000, buffer_size=10)
    _bring(made, ONE_OF_EACH, 180, 40)
    _check_ledger(made, 5)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_after_a_day_with_a_fault_in_each_hour_the_ledger_adds_up(world):
    made = world()
    _bring(made, ONE_OF_EACH | OTHERS, 3300, 290)
    _check_ledger(made, 1)
