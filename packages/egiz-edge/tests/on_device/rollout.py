"""When an order of the configuration is obeyed, and how often."""

from egiz_edge.ota import fetch, rollout
from egiz_edge.ota.rollout import GO, NOTHING, REFUSE, WAIT

DEVICE, RUNNING = "oven-001", "0.1.0"
MIDNIGHT = 1800057600  # 2027-01-16 00:00 UTC
NOON, DAY = MIDNIGHT + 43200, 86400
URL = "http://updates.lan/egiz"
LATE = (100000, 100000)  # wanted, and running, for longer than any wait


def _wanted(**more):
    wanted = {"version": "0.2.0", "url": URL}
    wanted.update(more)
    return wanted


def _decide(wanted, now_s=NOON, since_s=LATE, last=None, device_id=DEVICE):
    return rollout.decide(wanted, device_id, RUNNING, now_s, since_s, last)


def _last(wanted, times, state):
    return [rollout.number_of(wanted), wanted["version"], times, state]


def test_a_version_that_runs_is_nothing_to_do():
    assert _decide(_wanted(version=RUNNING, window="22:00-04:00")) == (NOTHING, None, 0)


def test_the_devices_of_a_percent_are_as_many_and_others_for_each_version():
    counts, both = [0, 0, 0, 0], 0
    for number in range(1000):
        chosen = [
            rollout.is_chosen(_wanted(percent=percent), f"oven-{number}")
            for percent in (0, 10, 50, 100)
        ]
        assert chosen == sorted(chosen)  # who is among 10 is among 50
        counts = [counts[at] + chosen[at] for at in range(4)]
        other = _wanted(version="0.3.0", percent=10)
        both += chosen[1] and rollout.is_chosen(other, f"oven-{number}")
    assert (counts[0], counts[3]) == (0, 1000)
    assert abs(counts[1] - 100) <= 30
    assert abs(counts[2] - 500) <= 40
    assert both < 30
    for everyone in ({}, {"percent": None}):
        assert rollout.is_chosen(_wanted(**everyone), DEVICE)
    assert _decide(_wanted(percent=0)) == (NOTHING, None, 0)


def test_devices_begin_one_after_another_within_five_minutes():
    begins = []
    for number in range(300):
        device_id = f"oven-{number}"
        verdict, words, wait_s = _decide(_wanted(), None, (0, 0), None, device_id)
        assert words is None
        assert (verdict == GO) == (wait_s == 0)
        assert 0 <= wait_s <= 300
        begins.append(wait_s)
        after = _decide(_wanted(), None, (wait_s, wait_s), None, device_id)
        assert after == (GO, None, 0)
    assert min(begins) < 10
    assert max(begins) > 290
    assert len(set(begins)) > 150


def test_a_window_is_of_each_day_in_utc_and_may_end_on_the_next_one():
    wanted = _wanted(window="22:00-04:00")
    for hour, is_open in ((22.5, True), (23.9, True), (0, True), (3.9, True)):
        assert (_decide(wanted, MIDNIGHT + int(3600 * hour))[0] == GO) == is_open
    for hour, wait_h in ((4, 18), (12, 10), (21.5, 0.5)):
        found = _decide(wanted, MIDNIGHT + int(3600 * hour))
        assert found == (WAIT, "window 22:00-04:00", int(3600 * wait_h))
    wanted = _wanted(window="08:00-16:30")
    assert _decide(wanted)[0] == GO
    assert _decide(wanted, MIDNIGHT + 59399)[0] == GO
    assert _decide(wanted, MIDNIGHT + 59400)[0] == WAIT
    assert _decide(wanted, MIDNIGHT)[2] == 8 * 3600
    for all_day in ("00:00-24:00", "09:00-09:00", "", None):
        assert _decide(_wanted(window=all_day))[0] == GO


def test_when_a_window_opens_not_all_devices_begin_at_once():
    wanted, opening = _wanted(window="22:00-22:01"), MIDNIGHT + 22 * 3600
    waits = set()
    for number in range(200):
        device_id = f"oven-{number}"
        verdict, words, wait_s = _decide(wanted, opening, LATE, None, device_id)
        assert words is None
        assert 0 <= wait_s < 60  # so that a short window is one, too
        waits.add(wait_s)
        found = _decide(wanted, opening + wait_s, LATE, None, device_id)
        assert found == (GO, None, 0), verdict
    assert len(waits) > 40


def test_what_needs_the_time_waits_for_a_clock_that_is_set():
    for wanted in (_wanted(window="00:00-23:59"), _wanted(url="https://u.lan")):
        assert _decide(wanted, None) == (WAIT, "clock not set", rollout.CLOCK_S)
        assert _decide(wanted)[0] == GO
    assert _decide(_wanted(), None)[0] == GO


def test_what_was_rolled_back_or_refused_is_not_tried_again():
    wanted = _wanted()
    for state, words in (
        ("rolled_back", "0.2.0 was rolled back"),
        ("refused", "0.2.0 was refused"),
    ):
        found = _decide(wanted, last=_last(wanted, 1, state))
        assert found == (REFUSE, words, 0)
        for other in (
            _wanted(version="0.3.0"),
            _wanted(url=URL + "/2"),
            _wanted(keys=2),
        ):
            assert _decide(other, last=_last(wanted, 1, state))[0] == GO
        for same in (_wanted(percent=100), _wanted(window="00:00-23:59", keys=0)):
            assert _decide(same, last=_last(wanted, 1, state))[0] == REFUSE


def test_what_failed_is_tried_once_more_after_an_hour_and_then_never():
    wanted = _wanted()
    for state in ("failed", "given", "done"):
        once, twice = _last(wanted, 1, state), _last(wanted, 2, state)
        assert _decide(wanted, since_s=(0, 0), last=once) == (WAIT, None, 3600)
        assert _decide(wanted, since_s=(9999, 3599), last=once) == (WAIT, None, 1)
        assert _decide(wanted, since_s=(9999, 3600), last=once) == (GO, None, 0)
        assert _decide(wanted, last=twice)[0] == REFUSE
    assert _decide(wanted, last=_last(wanted, 2, "failed"))[1] == "0.2.0 failed twice"


def test_in_a_year_an_order_is_obeyed_twice_at_most_whatever_becomes_of_it():
    for state in ("failed", "given", "done", "rolled_back", "refused", "strange"):
        for wanted in (_wanted(), _wanted(window="01:00-02:00", percent=100)):
            last, boot_s, now_s, times = None, MIDNIGHT, MIDNIGHT, 0
            while now_s < MIDNIGHT + 365 * DAY:
                up_s = now_s - boot_s
                verdict, _, wait_s = _decide(wanted, now_s, (up_s, up_s), last)
                if verdict == GO:
                    times += 1
                    last = _last(wanted, times, state)
                    boot_s = now_s = now_s + 60
                elif verdict == WAIT:
                    now_s += min(wait_s, 3600)
                else:
                    break
            assert times == (1 if state in ("rolled_back", "refused") else 2), state
            assert verdict == REFUSE


def test_an_order_that_cannot_be_obeyed_is_named():
    for wrong in (
        "25:00-x",
        "22:00",
        "22:00-",
        "-",
        "22:00-04:60",
        "24:01-04:00",
        "2:00-04:00",
        "22:00 - 04:00",
        "+2:00-04:00",
        "22:00-04:00-05:00",
        "\u0662\u0662:00-04:00",
        "22-04",
    ):
        problem = rollout.problem(_wanted(window=wrong))
        assert problem == "firmware.window: not like 22:00-04:00", wrong
    for wrong in ("ftp://u.lan", "u.lan/egiz", "http://", "HTTP://u.lan", "https:/u"):
        problem = rollout.problem(_wanted(url=wrong))
        assert problem == "firmware.url: not http:// or https://", wrong
    for wrong in ({"url": "http://u.lan/a b"}, {"version": "0.2 .0"}):
        problem = rollout.problem(_wanted(**wrong))
        assert problem == "firmware: version or url has a space, or is not ASCII"
    for version in ("../x", "0.2.0?a", "0.2.0#a", "0.2.0%2e"):
        problem = rollout.problem(_wanted(version=version))
        assert problem.startswith("firmware.version: has a "), version
    for right in ({}, {"window": "22:00-04:00"}, {"version": "1.0+a-b_c.dev1"}):
        assert rollout.problem(_wanted(**right)) is None


def test_a_url_that_the_updater_cannot_fetch_is_refused_before_it_boots():
    def fetches(url):
        try:
            return bool(fetch.parse(url + "/0.2.0.egz"))
        except fetch.AnswerError:
            return False

    for right in ("http://u.lan", "https://10.0.0.2:8000/a/b", "http://u:65535/%20"):
        assert fetches(right)
        assert rollout.problem(_wanted(url=right)) is None, right
    for wrong in (
        "http://user:secret@u.lan/x",
        "http://user@u.lan",
        "http://:80/x",
        "http:///x",
        "http://u.lan:/x",
        "http://u.lan:0",
        "http://u.lan:65536",
        "http://u.lan:8e1",
        "https://[::1]:1/x",
        "http://[::1]",
        "http://b\u00fcro.lan",
        "http://u.lan/\u00fc",
        "http://u.lan\t/x",
    ):
        assert not fetches(wrong), wrong
        assert rollout.problem(_wanted(url=wrong)) is not None, wrong
    for lost in ("http://u.lan/x?token=1", "http://u.lan/#x"):  # /0.2.0.egz would be
        assert rollout.problem(_wanted(url=lost)) == "firmware.url: has a ? or #"
