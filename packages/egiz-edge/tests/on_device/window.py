"""The window: means of scaled integers."""

from egiz_edge.payloads import Window


def test_a_mean_is_rounded_half_up_also_below_zero():
    for samples, mean in (
        ([1, 2], 2),
        ([1, 2, 2], 2),
        ([1, 1, 2], 1),
        ([-1, -2], -1),
        ([-18, -19, -19], -19),
        ([2300] * 5, 2300),
    ):
        window = Window()
        for sample in samples:
            window.add("u", sample)
        assert window.mean("u") == mean


def test_sums_do_not_lose_digits_as_32_bit_floats_would():
    window = Window()
    for _ in range(17280):
        window.add("p", 16777217)
    assert window.mean("p") == 16777217


def test_what_was_not_sampled_has_no_value():
    window = Window()
    assert window.mean("u") is None
    assert window.last == {}


def test_a_counter_keeps_its_last_sample():
    window = Window()
    window.last["e"] = 38
    window.last["e"] = 39
    assert window.last["e"] == 39
    window.clear()
    assert window.last == {}


def test_a_mean_says_how_many_samples_it_lacks():
    window = Window()
    for sample in (2300, None, None, None, None):
        window.add("ua", sample)
    assert window.mean("ua") == 2300
    assert window.count() == (1, 5)
    for sample in (1, 2, None):
        window.add("t0", sample)
    assert window.count() == (1, 5)  # of the one that lacks the most
    for _ in range(9):
        window.add("ub", None)  # it has no mean
    assert window.count() == (1, 5)
    window.clear()
    assert window.count() is None


def test_nothing_is_said_of_means_that_have_all_their_samples():
    window = Window()
    for name, samples in (("ua", 5), ("t0", 1), ("ub", 0)):
        for _ in range(samples):
            window.add(name, 7)
    assert window.count() is None
    window.add("uc", None)  # a meter that is not there
    assert window.count() is None


def test_a_fault_is_noted_once_and_gone_with_the_window():
    window = Window()
    window.fault("pzem_a:crc")
    window.fault("pzem_a:crc")
    assert window.faults == ["pzem_a:crc"]
    window.add("u", 1)
    window.clear()
    assert window.faults == []
    assert window.mean("u") is None
