from egiz_bridge.log import RateLimitedLog


def test_a_cause_is_logged_at_powers_of_two_until_it_is_over():
    limited = RateLimitedLog()
    logged = [limited.due("disk") for _ in range(40)]
    assert [times for times in logged if times] == [1, 2, 4, 8, 16, 32]
    assert limited.due("other") == 1
    limited.over("disk")
    limited.over("never heard of")
    assert limited.due("disk") == 1
