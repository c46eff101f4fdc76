"""The ledger of a load, and what its figures say: without a clock."""

import itertools
from dataclasses import dataclass

import pytest
from egiz_schema import decode, parse_topic
from egiz_sim.load.figures import figures, percentiles
from egiz_sim.load.ledger import Ledger
from egiz_sim.load.messages import Messages
from egiz_sim.load.verdict import Objective, verdict
from egiz_sim.machines import fleet


@dataclass
class Run:
    """Ten messages of two devices, one each 0.1 s; each is sent 1 ms late."""

    ledger: Ledger

    def acknowledge(self, after_s=0.01):
        for number in range(10):
            sent = self.ledger.sent[number]
            self.ledger.acknowledge(number, sent + after_s)

    def see(self, numbers, after_s=0.02):
        for number in numbers:
            at = self.ledger.due[number] + after_s
            self.ledger.live.see(number, at)
            self.ledger.stored.see(number, at + after_s)

    def figures(self, late_s=5.0):
        connections = {"reconnects": 0, "brief_connections": 0}
        return connections | {
            "planned": 10,
            **figures(self.ledger, late_s, ["a-1", "b-1"]),
        }

    def checks(self, objective=None, max_lag_ms=100.0):
        found = verdict(self.figures(), objective, max_lag_ms)
        return found["result"], {c["name"]: c["result"] for c in found["checks"]}


@pytest.fixture
def run():
    ledger = Ledger(2, boot=7, is_live=True, is_stored=True)
    for number in range(10):
        assert ledger.send(100 + number / 10, 100.001 + number / 10) == number
    return Run(ledger)


def test_a_message_is_known_by_device_boot_and_seq(run):
    assert [run.ledger.identity(number) for number in (0, 1, 2, 9)] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 4),
    ]


def test_all_is_well_when_all_arrive(run):
    run.acknowledge()
    run.see(range(10))
    assert run.ledger.is_complete
    assert run.checks()[0] == "passed"
    stages = run.figures()["stages"]
    assert stages["puback"]["since_sent_ms"]["p50"] == pytest.approx(10)
    assert stages["puback"]["since_due_ms"]["p50"] == pytest.approx(11)
    assert stages["live"]["since_due_ms"]["p99"] == pytest.approx(20)
    assert stages["queryable"]["since_due_ms"]["p99"] == pytest.approx(40)
    assert run.figures()["generator_lag_ms"]["max"] == pytest.approx(1)


def test_what_was_acknowledged_and_is_not_found_is_lost_and_named(run):
    run.acknowledge()
    run.see([0, 1, 2, 4, 5, 6, 7, 8, 9])
    for place in ("live", "database"):
        found = run.figures()[place]
        assert (found["found"], found["lost"]) == (9, 1)
        assert found["first_lost"] == [{"device_id": "b-1", "boot": 7, "seq": 1}]
    result, checks = run.checks()
    assert result == checks["database"] == checks["live subscriber"] == "failed"


def test_where_nothing_is_seen_of_what_was_acknowledged_the_access_list_is_named(run):
    run.acknowledge()
    found = verdict(run.figures(), None, 100.0)
    texts = {check["name"]: check["text"] for check in found["checks"]}
    assert "access list" in texts["live subscriber"]
    run.see(range(1))
    found = verdict(run.figures(), None, 100.0)
    assert not any("access list" in check["text"] for check in found["checks"])


def test_what_has_no_puback_may_be_missing_but_is_unacknowledged(run):
    run.see([])
    assert run.figures()["database"]["lost"] == 0
    assert run.checks()[1]["acknowledged"] == "failed"


def test_a_row_twice_is_a_fault_and_a_message_twice_is_not(run):
    run.acknowledge()
    run.see(range(10))
    run.ledger.live.see(4, 102)
    assert run.figures()["live"]["duplicated"] == 1
    assert run.checks()[0] == "passed"
    run.ledger.stored.see(4, 102)
    assert run.checks()[1]["database"] == "failed"


def test_an_order_that_changes_within_a_device_is_counted(run):
    run.acknowledge()
    run.see([0, 1, 3, 2, 4, 8, 6, 5, 7, 9])  # 3 and 2 are of two devices
    assert run.figures()["live"]["reordered"] == 1  # 6 after 8


def test_a_message_that_was_never_sent_is_a_fault(run):
    run.acknowledge()
    run.see(range(10))
    run.ledger.stored.see(10, 102)
    assert run.figures()["database"]["unknown"] == 1
    assert run.checks()[1]["database"] == "failed"


def test_late_is_since_it_was_due(run):
    run.acknowledge(after_s=0.4995)  # and 1 ms of the generator
    assert run.figures(late_s=0.5)["stages"]["puback"]["late"] == 10
    assert run.figures(late_s=0.51)["stages"]["puback"]["late"] == 0
    found = verdict(run.figures(late_s=0.5), None, 100.0)
    texts = {check["name"]: check["text"] for check in found["checks"]}
    assert texts["acknowledged"] == "all 10, 10 late"  # on the terminal, too


def test_the_objective_is_for_the_last_place_that_is_watched(run):
    run.acknowledge()
    run.see(range(10))
    assert run.checks(Objective(41))[0] == "passed"
    result, checks = run.checks(Objective(39))
    assert result == checks["objective"] == "failed"


def test_an_objective_that_the_generator_missed_is_unknown(run):
    run.acknowledge()
    run.see(range(10), after_s=0.0007)
    # Queryable 1.4 ms after it was due, of which 1 ms is the generator's.
    assert run.checks(Objective(1.2))[1]["objective"] == "unknown"
    assert run.checks(Objective(1.2), max_lag_ms=0.5)[1]["generator"] == "unknown"


def test_a_load_that_was_stopped_is_unknown(run):
    run.acknowledge()
    run.see(range(10))
    found = {**run.figures(), "planned": 11}
    assert verdict(found, None, 100)["result"] == "unknown"


@pytest.mark.parametrize(
    ("broker", "result"),
    [
        ({"dropped": 0, "received": 10}, "passed"),
        ({"dropped": 1, "received": 10}, "failed"),
        ({"dropped": 0, "received": 9}, "not measured"),  # $SYS is from before the end
    ],
)
def test_what_the_broker_dropped_counts_once_it_is_known(run, broker, result):
    run.acknowledge()
    run.see(range(10))
    found = verdict({**run.figures(), "broker": broker}, None, 100)
    assert {c["name"]: c["result"] for c in found["checks"]}["broker"] == result


def test_percentiles_are_of_the_ordered_times():
    found = percentiles(n / 1000 for n in range(1000))
    assert found == {"p50": 500, "p95": 950, "p99": 990, "p99.9": 999, "max": 999}
    assert set(percentiles([]).values()) == {None}


def test_messages_are_of_the_contract_and_never_of_one_time():
    times = itertools.cycle([1_780_000_000_999, 1_780_000_000_000])
    for name, machine in fleet(7, seed=1):
        source = Messages("load", name, machine)
        topic = parse_topic(source.topic)
        made = [decode(topic, source.make(next(times), 9, seq)) for seq in range(6)]
        assert [(m.device_id, m.boot, m.seq) for m in made] == [
            (name, 9, seq) for seq in range(6)
        ]
        assert [m.timestamp * 1000 + m.ms for m in made] == [
            1_780_000_000_999 + n for n in range(6)
        ]
        assert made[0].electrical or made[0].values
