"""The report of a load as a page and as JUnit's XML."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from egiz_sim.load.figures import figures
from egiz_sim.load.html import html
from egiz_sim.load.junit import junit
from egiz_sim.load.ledger import Ledger
from egiz_sim.load.verdict import verdict


class _Page(HTMLParser):
    """Whether every element is closed; its tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def _report(acknowledged, stored, broker="127.0.0.1:1883"):
    ledger = Ledger(2, boot=7, is_live=True, is_stored=True)
    for number in range(20):
        ledger.send(100 + number / 5, 100.001 + number / 5)
    for number in range(acknowledged):
        ledger.acknowledge(number, ledger.sent[number] + 0.01)
        ledger.live.see(number, ledger.sent[number] + 0.02)
    for number in range(stored):
        ledger.stored.see(number, ledger.sent[number] + 0.3)
    found = {"planned": 20, **figures(ledger, 5, ["oven-1", "<b>"])}
    load = {"devices": 2, "rate": 5.0, "seconds": 4.0, "facility": "load", "boot": 7}
    found |= {"load": load | {"broker": broker}, "generator_cpu_percent": 3.5}
    found |= {
        "is_stopped": False,
        "reconnects": 0,
        "brief_connections": 0,
        "elapsed_s": 4.5,
    }
    return found | verdict(found, None, 100)


def test_the_page_needs_nothing_but_itself_and_runs_nothing():
    text = html(_report(20, 20))
    page = _Page(text)
    assert page.open == []
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "onclick", "onload"}
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", text)
    assert page.tags.count("svg") == 3
    assert "passed" in page.text


def test_times_and_counts_fit_a_narrow_page():
    text = html(_report(20, 17))
    heads = "<th></th><th>broker</th><th>live</th><th>database</th>"
    assert heads in text  # and no column for each of the six counts
    heads = "<th>sent</th><th>puback</th><th>live</th><th>queryable</th>"
    assert f"<th>until</th>{heads}" in text
    assert "<tr><th>lost</th><td>0</td><td>0</td><td>3</td></tr>" in text
    assert "<tr><th>duplicated</th><td></td><td>0</td><td>0</td></tr>" in text


def test_what_was_lost_is_named_on_the_page():
    text = html(_report(20, 17))
    assert "failed" in _Page(text).text
    assert "3 lost of 20" in _Page(text).text
    assert "&lt;b&gt; 7/8, oven-1 7/9, &lt;b&gt; 7/9" in text


@pytest.mark.parametrize(("acknowledged", "stored"), [(0, 0), (1, 0), (20, 1)])
def test_a_load_of_which_little_arrived_has_a_page(acknowledged, stored):
    page = _Page(html(_report(acknowledged, stored)))
    assert page.open == []
    assert "nan" not in page.text.lower()


def test_the_page_of_a_load_that_was_stopped_says_when():
    report = _report(20, 20)
    assert "stopped" not in html(report)
    assert "for 4 s (stopped after 4.5 s)" in html(report | {"is_stopped": True})


def test_the_page_of_a_single_message_names_no_share_of_a_core():
    assert "of a core" in html(_report(20, 20))
    text = html(_report(20, 20) | {"generator_cpu_percent": None})
    assert "of a core" not in text
    assert "None" not in text


def test_names_are_text_and_never_markup():
    page = _Page(html(_report(20, 20, broker="<script>alert(1)</script>:1")))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_junit_has_a_case_for_each_check():
    suite = ET.fromstring(junit(_report(20, 19)).split("?>", 1)[1])
    assert suite.tag == "testsuite"
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {
        "acknowledged": ["system-out"],
        "live subscriber": ["system-out"],
        "database": ["failure"],
        "connections": ["system-out"],
        "generator": ["system-out"],
    }
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["5", "1", "0", "0"]


def test_junit_of_a_load_that_was_stopped_has_an_error():
    report = _report(20, 20)
    report |= verdict({**report, "planned": 21}, None, 100)
    suite = ET.fromstring(junit(report).split("?>", 1)[1])
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert suite.get("time") == "4.5"  # as long as it lasted, not as it was to last


@pytest.mark.parametrize(
    ("brief", "result"), [(0, "passed"), (1, "passed"), (2, "unknown")]
)
def test_a_load_is_unknown_if_devices_lose_one_connection_after_the_other(
    brief, result
):
    report = _report(20, 20) | {"reconnects": 9, "brief_connections": brief}
    judgement = verdict(report, None, 100)
    checks = {check["name"]: check for check in judgement["checks"]}
    assert judgement["result"] == checks["connections"]["result"] == result
    assert "9 were made again" in checks["connections"]["text"]
