"""What the portal answers: to forms that come at once, and to what is no form."""

import asyncio

from egiz_edge.portal import answers
from egiz_edge.portal.http import Refused

ADDRESS = "192.168.4.1"


class Request:
    body = b"token=1f&pin=123456&network=Hall&device_id=oven-1&facility=a&broker=b"

    def __init__(self, method="POST", path="/save", host=ADDRESS):
        self.method, self.path, self.headers = method, path, {"host": host}


class Pin:
    """The right one was entered."""

    is_locked = False

    def is_right(self, _pin):
        return True


class Session:
    """The portal, as far as a form needs it."""

    address = ADDRESS

    def __init__(self):
        self.state, self.reason, self.is_used = "form", None, False
        self.access_point = self
        self.lock = asyncio.Lock()
        self.token, self.pin, self.settings = "1f", Pin(), {}
        self.tried = []

    def begin_trial(self, settings):
        self.state = "trying"
        self.tried.append(settings["wifi_ssid"])


async def _saved_twice(session, writer):
    """A phone's user taps twice."""
    async with session.lock:  # as a page that is sent to another phone holds it
        forms = [
            asyncio.create_task(answers.answer(session, Request(), writer))
            for _ in range(2)
        ]
        for _ in range(3):
            await asyncio.sleep(0)
    for form in forms:
        await form


async def _waits_for_the_page(session, request):
    async with session.lock:
        task = asyncio.create_task(answers.answer(session, request, None))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()


def _sent(answer):
    """Run it; (status, headers) of what it sends."""
    real = answers.send
    sent = []

    async def send(_writer, status, headers="", _body=b""):
        sent.append((status, headers))

    answers.send = send
    try:
        asyncio.run(answer)
    finally:
        answers.send = real
    return sent


def test_of_two_forms_that_waited_only_one_is_tried():
    session = Session()
    sent = _sent(_saved_twice(session, None))
    assert session.tried == ["Hall"]
    assert sent == [("303 See Other", "Location: /\r\n")] * 2


def test_a_probe_for_the_internet_does_not_use_the_portal_and_the_page_does():
    """A forgotten laptop, which probes every five minutes, kept it open for ever."""
    for host, path in (
        ("connectivity-check.ubuntu.com", "/"),
        ("captive.apple.com", "/"),
        (None, "/"),
        (ADDRESS, "/generate_204"),
    ):
        session = Session()
        try:
            _sent(answers.answer(session, Request("GET", path, host), None))
        except Refused:
            pass  # a path that the portal does not have
        assert not session.is_used, host
    session = Session()
    asyncio.run(_waits_for_the_page(session, Request("GET", "/")))
    assert session.is_used


def test_the_address_of_a_form_that_was_sent_leads_to_the_page():
    """A browser stays there after a wrong field; its tab may be loaded again later."""
    for state in ("form", "trying", "done"):
        session = Session()
        session.state = state
        sent = _sent(answers.answer(session, Request("GET"), None))
        assert sent == [("303 See Other", "Location: /\r\n")], state
        assert session.tried == []
        assert session.state == state
