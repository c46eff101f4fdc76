"""The backoff: grows, and is never the same for two devices."""

from egiz_edge.ticker import Backoff

# As ticker.py has them: in the bundle, only the numbers are left.
FIRST_MS, LAST_MS = 250, 2000


def test_it_doubles_up_to_its_last_step():
    backoff = Backoff()
    ceiling = FIRST_MS
    for _ in range(10):
        assert ceiling // 2 <= backoff.next_ms() <= ceiling
        ceiling = min(2 * ceiling, LAST_MS)


def test_it_begins_again_after_a_success():
    backoff = Backoff()
    for _ in range(5):
        backoff.next_ms()
    backoff.reset()
    assert backoff.next_ms() <= FIRST_MS


def test_there_is_jitter():
    waits = set()
    for _ in range(20):
        backoff = Backoff()
        for _ in range(4):
            wait = backoff.next_ms()
        waits.add(wait)
    assert len(waits) > 5
