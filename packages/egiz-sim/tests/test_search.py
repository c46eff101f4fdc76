"""The search for the highest rate, of systems that answer at once."""

import asyncio

import pytest
from egiz_sim.load.search import RATE_MAX, search
from egiz_sim.load.view import search_result


class System:
    """It passes up to a rate; beyond, the system or the generator is the limit."""

    def __init__(self, capacity, beyond="failed", disturbed=()):
        self.capacity = capacity
        self.beyond = beyond
        self.disturbed = set(disturbed)  # numbers of loads that fail for no reason
        self.rates = []
        self.stop_after = None

    async def run(self, rate):
        await asyncio.sleep(0)
        self.rates.append(rate)
        is_well = rate <= self.capacity and len(self.rates) not in self.disturbed
        return {
            "rate": rate,
            "result": "passed" if is_well else self.beyond,
            "is_stopped": len(self.rates) == self.stop_after,
            "stages": {"puback": {}, "live": {"since_due_ms": {"p99": rate / 10}}},
            "generator_lag_ms": {"p99": 1.0},
        }

    def search(self, start):
        return asyncio.run(search(start, self.run))


@pytest.mark.parametrize("capacity", [100, 101, 137, 4_321, 99_999])
def test_it_finds_the_highest_rate_to_a_tenth(capacity):
    found = System(capacity).search(100)
    assert capacity / 1.1 <= found["search"]["highest_rate"] <= capacity
    assert found["search"]["limit"] == "system"
    assert found["rate"] == found["search"]["highest_rate"]
    assert found["result"] == "passed"


def test_each_load_is_in_the_steps():
    system = System(300)
    steps = system.search(100)["search"]["steps"]
    assert [step["rate"] for step in steps] == [round(rate, 1) for rate in system.rates]
    assert steps[0] == {
        "rate": 100,
        "result": "passed",
        "p99_ms": 10,
        "lag_p99_ms": 1.0,
    }


def test_one_disturbed_load_does_not_lower_the_rate():
    for number in range(1, 6):
        found = System(4_000, disturbed={number}).search(100)["search"]
        assert found["highest_rate"] > 3_600, number


def test_the_limit_of_the_generator_is_not_that_of_the_system():
    found = System(1_000, beyond="unknown").search(100)
    assert found["search"]["limit"] == "generator"
    assert found["result"] == "passed"


def test_a_first_rate_that_is_too_high_is_an_answer():
    system = System(50)
    found = system.search(100)
    assert found["search"]["highest_rate"] == 0
    assert found["result"] == "failed"
    assert system.rates == [100, 100]


def test_it_ends_at_the_fastest():
    found = System(1e9).search(RATE_MAX / 3)["search"]
    assert (found["highest_rate"], found["limit"]) == (RATE_MAX, None)


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_search_that_is_stopped_is_unknown(stop_after):
    system = System(300)
    system.stop_after = stop_after
    found = system.search(100)
    assert len(system.rates) == stop_after
    assert found["result"] == "unknown"
    assert search_result(found["search"]).startswith("Stopped before it was done")
