"""`make bench` is run by hand: here each candidate of its first part is called once."""

import schema


def test_each_candidate_of_the_contracts_benchmark_does_what_it_is_named_for() -> None:
    groups = schema.groups(schema.telemetry(1))
    for candidates in groups.values():
        for run, items in candidates.values():
            run(items[0])  # raises AssertionError if it does not
    assert [len(candidates) for candidates in groups.values()] == [9, 4, 4, 2, 5]
