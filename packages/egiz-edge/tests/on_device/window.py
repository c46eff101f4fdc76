"""The window: means of scaled integers."""

from egiz_edge.window import Window


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
    assert window.last("e") is None


def test_a_counter_keeps_its_last_sample():
    window = Window()
    window.keep("e", 38)
    window.keep("e", 39)
    assert window.last("e") == 39


def test_a_fault_is_noted_once_and_gone_with_the_window():
    window = Window()
    window.fault("pzem_a:crc")
    window.fault("pzem_a:crc")
    assert window.faults == ["pzem_a:crc"]
    window.add("u", 1)
    window.clear()
    assert window.faults == []
    assert window.mean("u") is None
