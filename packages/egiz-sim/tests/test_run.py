"""`egiz-sim run`, as a person types it: every message is in the ledger."""

import asyncio
import json
import socket
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
from egiz_infra.authority import Subject
from egiz_schema import encode
from egiz_sim.broker import Broker
from egiz_sim.fleet import Fleet, Plan
from egiz_sim.machines import fleet
from egiz_sim.mqtt import Publisher as MqttPublisher
from egiz_sim.waiting import until
from rig.process import Process, free_port, own_program
from rig.publisher import Publisher
from rig.waiting import eventually


@pytest.fixture
def run(launch, mosquitto, tmp_path):
    """Start a fleet: `run("--devices", "4")`; `run.report()` reads its ledger."""

    def start(*arguments, broker=None):
        command = ("run", "--broker", broker or mosquitto.url)
        report = ("--report", str(tmp_path / "ledger.json"))
        return launch("egiz-sim", *command, *report, *arguments)

    start.report = lambda: json.loads((tmp_path / "ledger.json").read_text())
    return start


def test_the_ledger_agrees_with_an_independent_subscriber(run, live):
    running = run("--devices", "8", "--rate", "20", "--seconds", "2")
    assert running.wait() == 0, running.output()
    ledger = run.report()
    assert ledger["totals"]["published"] == 8 * (2 * 20 + 2)  # birth and offline
    assert ledger["balanced"]
    for name, device in ledger["devices"].items():
        assert device["published"] == {"telemetry": 40, "status": 2}
        live.until_offline(name)
        assert len(live.messages(name, "telemetry")) == 40
        states = [m.state for m in live.messages(name, "status")]
        assert states == ["online", "offline"]
        sequences = [m.seq for m in live.messages(name, "telemetry")]
        assert sequences == list(range(40))
    assert live.rejected == []
    assert live.wills == set()
    assert 0 < ledger["puback_ms"]["p50"] <= ledger["puback_ms"]["p99"]
    assert "336" in running.output()  # the ledger is on screen, too


def test_the_same_seed_and_start_give_the_same_telemetry_to_the_byte(run, live):
    arguments = ("--devices", "7", "--rate", "20", "--seconds", "1", "--seed", "7")
    seen = []
    for telemetry in (20, 40):
        assert run(*arguments, "--start", "2026-11-23T08:00:00").wait() == 0
        for name in run.report()["devices"]:
            messages = partial(live.messages, name, "telemetry")
            eventually(lambda m=messages, n=telemetry: len(m()) == n)
            seen.append([encode(message) for message in messages()[-20:]])
    assert seen[:7] == seen[7:]
    assert len({message for messages in seen for message in messages}) == 140


def test_the_same_seed_gives_the_same_payload_streams_also_over_an_outage(
    run, mosquitto, live
):
    """The hash of each device's readings is printed, and compared."""
    start = ("--start", "2026-11-23T08:00:00")
    options = ("--devices", "7", "--rate", "20", "--seconds", "1.5", *start)
    reports = []
    for seed, restarts in (("7", False), ("7", True), ("8", False)):
        running = run(*options, "--seed", seed, "--sensor-faults", "0.5")
        if restarts:
            before = len(live.messages("oven-001", "telemetry"))
            eventually(lambda n=before: len(live.messages("oven-001", "telemetry")) > n)
            mosquitto.stop()
            mosquitto.start()
        assert running.wait() == 0, running.output()
        reports.append(run.report())
        assert f"sha256 {reports[-1]['sha256']}" in running.output()
    first, second, other = reports
    assert second["totals"]["reconnects"] == 7
    assert first["sha256"] == second["sha256"] != other["sha256"]
    streams = [[d["sha256"] for d in r["devices"].values()] for r in reports]
    assert streams[0] == streams[1]
    assert len(set(streams[0] + streams[2])) == 14


def test_connections_are_made_over_the_ramp(run, live):
    running = run("--devices", "4", "--rate", "10", "--seconds", "0.5", "--ramp", "1")
    assert running.wait() == 0, running.output()
    births = []
    for name in run.report()["devices"]:
        live.until_offline(name)
        birth = live.messages(name, "status")[0]
        births.append(birth.timestamp * 1000 + birth.ms)
    assert births == sorted(births)
    assert births[-1] - births[0] >= 700  # the last one begins after 750 ms


def test_births_declare_what_telemetry_measures(run, live):
    running = run("--devices", "7", "--rate", "10", "--seconds", "1")
    assert running.wait() == 0, running.output()
    for name in run.report()["devices"]:
        live.until_offline(name)
        birth, offline = live.messages(name, "status")
        measured = set()
        for message in live.messages(name, "telemetry"):
            for group in (message.values, message.counters, message.contacts):
                measured |= set(group or ())
        assert set(birth.channels or ()) == measured
        assert offline.channels == birth.channels  # retained, for whoever comes later
    room, oven = (live.messages(n, "status")[0] for n in ("cold-room-001", "oven-001"))
    assert room.channels["humidity"].quantity == "humidity"
    assert oven.channels is None


def _times(messages):
    return [message.timestamp * 1000 + message.ms for message in messages]


def test_no_two_readings_of_a_device_have_the_same_time(run, live):
    # 0.5, 1.5, 2.5 ms, ... are the times of the second device.
    running = run("--devices", "2", "--rate", "1000", "--seconds", "1")
    assert running.wait() == 0, running.output()
    for name in ("oven-001", "mixer-001"):
        live.until_offline(name)
        times = _times(live.messages(name, "telemetry"))
        assert len(times) == 1000
        assert times == sorted(set(times))
        assert times[-1] - times[0] < 1005


def test_birth_and_offline_have_times_of_their_own_also_in_the_same_millisecond(
    mosquitto, live, monkeypatch
):
    monkeypatch.setattr(time, "time_ns", lambda: 1_780_000_000_123_456_789)
    fleet = Fleet(Broker.from_url(mosquitto.url), Plan(4, 10, 0.1, seed=1))
    asyncio.run(fleet.run(asyncio.Event()))
    for device in fleet.devices:
        live.until_offline(device.device_id)
        times = _times(live.messages(device.device_id, "status"))
        assert times == [1_780_000_000_123, 1_780_000_000_124]


def test_a_broker_restart_loses_nothing_and_is_in_the_ledger(run, live, mosquitto):
    running = run("--devices", "8", "--rate", "20", "--seconds", "5")
    eventually(lambda: len(live.messages("oven-001", "telemetry")) > 10)
    mosquitto.stop()
    mosquitto.start()
    assert running.wait() == 0, running.output()
    ledger = run.report()
    assert ledger["balanced"]
    assert ledger["totals"]["reconnects"] == 8
    for name, device in ledger["devices"].items():
        published = device["published"]["telemetry"]
        eventually(
            lambda name=name, n=published: (
                {m.seq for m in live.messages(name, "telemetry")} == set(range(n))
            )
        )


def test_the_last_wills_of_a_killed_fleet_are_published(run, live):
    running = run("--devices", "4", "--rate", "5", "--seconds", "60")
    eventually(lambda: len(live.messages("freezer-001", "telemetry")) > 2)
    running.kill()
    eventually(lambda: len(live.wills) == 4)


def test_ctrl_c_ends_a_run_early_with_a_balanced_ledger(run, live):
    running = run("--devices", "4", "--rate", "5", "--seconds", "60")
    eventually(lambda: len(live.messages("oven-001", "telemetry")) > 2)
    assert running.interrupt() == 0
    ledger = run.report()
    assert ledger["balanced"]
    assert live.wills == set()


def test_two_clients_with_the_same_id_disconnect_each_other_at_a_bounded_rate(
    mosquitto,
):
    async def fight():
        broker = Broker.from_url(mosquitto.url)
        both = [
            MqttPublisher(broker, "oven-001", None, lambda: None, lambda *_: None)
            for _ in range(2)
        ]
        tasks = [asyncio.create_task(one.run()) for one in both]
        begun = time.monotonic()
        assert await until(lambda: sum(one.brief for one in both) >= 8, begun + 60)
        elapsed_s = time.monotonic() - begun
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return elapsed_s, both[0].error + both[1].error

    elapsed_s, errors = asyncio.run(fight())
    assert elapsed_s > 0.5  # without pauses, it is a hundredth of a second
    assert "does another client have the id oven-001?" in errors


def test_a_run_with_messages_without_a_puback_fails(run, mosquitto, live, proxy):
    between = proxy(mosquitto.host, mosquitto.port)
    running = run(
        "--devices", "2", "--rate", "10", "--seconds", "4", broker=between.url
    )
    eventually(lambda: len(live.messages("oven-001", "telemetry")) > 5)
    between.refuse()
    assert running.wait(60) == 1
    ledger = run.report()
    assert not ledger["balanced"]
    totals = ledger["totals"]
    assert totals["unacknowledged"] > 0
    assert totals["published"] == totals["acknowledged"] + totals["unacknowledged"]


def test_an_unreachable_broker_is_named_with_its_address(launch, mosquitto):
    mosquitto.stop()
    running = launch("egiz-sim", "run", "--broker", mosquitto.url, "--devices", "2")
    running.wait_for("0/2 connected", timeout=20)  # progress says it early
    assert running.wait(60) == 1
    last = running.output().splitlines()[-1]
    assert f"could not connect to {mosquitto.host}:{mosquitto.port}" in last
    assert "Traceback" not in running.output()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--broker", "http://localhost"], "--broker: must be mqtt://host:port"),
        (["--broker", "mqtt://localhost:0x1"], "--broker: port must be"),
        (
            ["--broker", "mqtts://localhost", "--ca", "/dev/zero"],
            "--ca: /dev/zero: too large; at most 1 MB",
        ),
        (["--facility", "A"], "--facility 'A': a facility is"),
        (["--devices", "0"], "--devices"),
        (["--rate", "-1"], "--rate"),
        (["--start", "yesterday"], "--start"),
        (["--shifts", "mon 6-22"], "--shifts 'mon 6-22': hours are 00:00 to 24:00"),
        (["--sensor-faults", "2"], "--sensor-faults"),
        (
            ["--updates", "bad"],
            "--updates 'bad': an outcome is one of good",
        ),
        (["--updates", "slow:x"], "--updates 'slow:x': a share is a number from 0 to"),
        (["--updates", "slow:0.6,silent:0.6"], "the shares are more than 1 together"),
    ],
)
def test_a_wrong_option_is_explained_in_a_sentence(launch, arguments, message):
    running = launch("egiz-sim", "run", *arguments)
    assert running.wait() == 2
    assert message in running.output()
    assert "Traceback" not in running.output()


def test_each_device_connects_with_its_own_certificate(
    launch, secure_mosquitto, tmp_path
):
    broker = secure_mosquitto
    for device, _ in fleet(3, seed=1):
        pair = broker.pair(Subject("device", device, "factory"))
        pair.rename(tmp_path / f"{device}.pem")
    pairs = f"{tmp_path}/{{device}}.pem"
    ca = tmp_path / "ca.pem"
    ca.write_bytes(broker.authority.pem)
    broker.start()
    running = launch(
        "egiz-sim",
        *("run", "--devices", "3", "--rate", "2", "--seconds", "1"),
        *("--broker", f"mqtts://localhost:{broker.tls12_port}", "--ca", str(ca)),
        *("--cert", pairs, "--key", pairs),
    )
    assert running.wait() == 0, running.output()
    (tmp_path / f"{device}.pem").unlink()
    other = launch(
        "egiz-sim",
        *("run", "--devices", "3", "--broker", "mqtts://localhost", "--ca", str(ca)),
        *("--cert", pairs, "--key", pairs),
    )
    assert other.wait() == 2
    assert f"--cert: {tmp_path}/{device}.pem: No such file" in other.output()


def test_a_password_is_never_printed():
    broker = Broker.from_url("mqtt://user:Secret%401@host:1884", None)
    assert (broker.username, broker.password) == ("user", "Secret@1")
    assert "Secret" not in str(broker)
    with pytest.raises(ValueError, match="needs --ca") as caught:
        Broker.from_url("mqtts://user:Secret@host")
    assert "Secret" not in str(caught.value)


@pytest.fixture
def refusing_broker():
    """The URL of a broker that refuses every login: CONNACK with code 5."""
    server = socket.create_server(("127.0.0.1", 0))

    def refuse():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                client.recv(1024)
                client.sendall(b"\x20\x02\x00\x05")

    thread = threading.Thread(target=refuse)
    thread.start()
    yield f"mqtt://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_a_refused_login_is_shown_with_the_reason_of_the_broker(
    launch, refusing_broker
):
    arguments = ("run", "--devices", "1", "--broker", refusing_broker)
    running = launch("egiz-sim", *arguments)
    running.wait_for("not authorised")
    assert running.interrupt() == 130


@pytest.fixture
def amqtt(tmp_path):
    """A broker that sends each new client what is retained, subscribed to or not."""
    address = SimpleNamespace(host="127.0.0.1", port=free_port())
    config = tmp_path / "amqtt.yaml"
    config.write_text(_AMQTT_CONF.format(port=address.port))
    command = [own_program("amqtt"), "-c", str(config)]
    broker = Process(command, tmp_path / "amqtt.log")
    where = (address.host, address.port)
    broker.wait_until(lambda: socket.create_connection(where).close() or True)
    yield address
    broker.kill()


_AMQTT_CONF = """\
listeners: {{default: {{type: tcp, bind: "127.0.0.1:{port}"}}}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


@pytest.mark.parametrize("size", [1, 127, 128, 300, 20_000])
def test_a_message_without_a_subscription_hides_no_puback(
    launch, amqtt, tmp_path, size
):
    """Whether they arrive is not asked: amqtt loses some, when clients subscribe."""
    with Publisher(amqtt) as publisher:
        publisher.publish("sensors/factory/oven-009/note", b"x" * size, retain=True)
    plan = ("run", "--devices", "4", "--rate", "5", "--seconds", "1")
    broker = f"mqtt://{amqtt.host}:{amqtt.port}"
    report = tmp_path / "ledger.json"
    running = launch("egiz-sim", *plan, "--broker", broker, "--report", str(report))
    assert running.wait(60) == 0, running.output()
    totals = json.loads(report.read_text())["totals"]
    assert totals["acknowledged"] == totals["published"] >= 4 * (5 + 2)


def test_a_report_that_cannot_be_written_is_noticed_before_the_run(launch, tmp_path):
    path = tmp_path / "missing" / "ledger.json"
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    running = launch("egiz-sim", "run", "--broker", nowhere, "--report", str(path))
    assert running.wait() == 2
    assert f"'--report': {path}: No such file" in " ".join(running.output().split())
    assert "published" not in running.output()
