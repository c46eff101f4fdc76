"""A release for a fleet of virtual boards: some devices first, then all of them."""

from collections import defaultdict
from itertools import pairwise

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge.ota import rollout
from egiz_schema import Config, Firmware, Topic, encode
from rig.rollouts import CRASHES
from rig.waiting import eventually

GAP_S = 30  # between two measurements, whatever is updated meanwhile
# Of 10 percent of these ten, 0.2.0 has one canary, and 0.3.0 another one.
TEN = [f"oven-{number:03}" for number in range(11, 21)]
FIFTY = [f"oven-{number:03}" for number in range(1, 51)]
TIMEOUT_S = 300


@pytest.fixture
def fleet(device, mosquitto, rollouts, tmp_path, monkeypatch):
    """A factory of devices that know the keys."""
    monkeypatch.setattr(board_module, "stage", rollouts.install)

    def make(device_ids):
        for device_id in device_ids:
            rollouts.provision(tmp_path / f"flash-{device_id}")
        rates = {"sampling_rate_ms": 1000, "publish_rate_ms": 2000}
        return [device(mosquitto, device_id, **rates) for device_id in device_ids]

    return make


def _canaries(device_ids, version):
    wanted = {"version": version, "percent": 10}
    return {one for one in device_ids if rollout.is_chosen(wanted, one)}


def _configure(live, device_ids, rev, server, version, percent):
    wanted = Firmware(version=version, url=server.directory, percent=percent)
    for device_id in device_ids:
        config = Config(device_id=device_id, rev=rev, firmware=wanted)
        topic = Topic("factory", device_id, "config")
        live.publish(topic, encode(config), retain=True)


def _ended(live, device_ids, *, version, state):
    """Those whose last status says that an update has ended so."""
    last = {one: (live.messages(one, "status") or [None])[-1] for one in device_ids}
    return {
        one
        for one, m in last.items()
        if m and m.ota and (m.ota.version, m.ota.state) == (version, state)
    }


def _check_ledger(live, device_ids):
    """Every message is there, and each device has measured without a long gap."""
    gaps = {}
    for device_id in device_ids:
        sent, times = defaultdict(set), []
        for m in live.messages(device_id, "telemetry"):
            sent[m.boot].add(m.seq)
            times.append(m.timestamp)
        assert all(seqs == set(range(len(seqs))) for seqs in sent.values()), device_id
        times.sort()
        gaps[device_id] = max(b - a for a, b in pairwise(times))
    assert max(gaps.values()) <= GAP_S, gaps
    return gaps


@pytest.mark.parametrize(
    "device_ids",
    [
        pytest.param(TEN, id="10"),
        pytest.param(FIFTY, id="50", marks=[pytest.mark.soak]),
    ],
)
@pytest.mark.timeout(900)
def test_a_bad_release_reaches_some_devices_and_a_good_one_then_all_of_them(
    fleet, live, serve_release, rollouts, device_ids
):
    bad = serve_release(rollouts.release(replaced={"egiz_edge/uplink.py": CRASHES}))
    good = serve_release(rollouts.release("0.3.0"))
    first = {one: _canaries(device_ids, one) for one in ("0.2.0", "0.3.0")}
    assert all(first.values())
    fleet(device_ids)
    everyone = set(device_ids)
    eventually(lambda: _publishing(live, device_ids) == everyone, TIMEOUT_S)

    def rolled_back():
        return _ended(live, device_ids, version="0.2.0", state="rolled_back")

    def done():
        return _ended(live, device_ids, version="0.3.0", state="done")

    _configure(live, device_ids, 1, bad, "0.2.0", 10)
    eventually(lambda: rolled_back() == first["0.2.0"], TIMEOUT_S)
    eventually(lambda: _configured(live, device_ids, 1) == everyone, TIMEOUT_S)
    assert _updated(live, device_ids) == first["0.2.0"]

    _configure(live, device_ids, 2, good, "0.3.0", 10)
    eventually(lambda: done() == first["0.3.0"], TIMEOUT_S)
    eventually(lambda: _configured(live, device_ids, 2) == everyone, TIMEOUT_S)
    assert _updated(live, device_ids) == first["0.2.0"] | first["0.3.0"]

    _configure(live, device_ids, 3, good, "0.3.0", 100)
    eventually(lambda: done() == everyone, TIMEOUT_S)
    versions = {live.messages(one, "status")[-1].firmware_version for one in everyone}
    assert versions == {"0.3.0"}
    print(_check_ledger(live, device_ids))  # noqa: T201  # figures of the soak
    assert live.rejected == []


def _publishing(live, device_ids):
    return {one for one in device_ids if live.messages(one, "telemetry")}


def _configured(live, device_ids, rev):
    """Those that have a configuration in force."""
    found = set()
    for one in device_ids:
        config = live.messages(one, "status")[-1].config
        if config and (config.rev, config.applied) == (rev, True):
            found.add(one)
    return found


def _updated(live, device_ids):
    """Those of which a status has ever said anything of an update."""
    return {
        one for one in device_ids if any(m.ota for m in live.messages(one, "status"))
    }
