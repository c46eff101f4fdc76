from egiz_bridge.log import Sparingly


def test_a_cause_is_told_ever_more_rarely_until_it_is_over():
    sparingly = Sparingly()
    told = [sparingly.due("disk") for _ in range(40)]
    assert [times for times in told if times] == [1, 2, 4, 8, 16, 32]
    assert sparingly.due("other") == 1
    sparingly.over("disk")
    sparingly.over("never heard of")
    assert sparingly.due("disk") == 1
