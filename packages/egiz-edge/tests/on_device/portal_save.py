"""What the portal does with forms that come at once: a phone's user taps twice."""

import asyncio

from egiz_edge.portal import answers

ADDRESS = "192.168.4.1"


class Request:
    method, path = "POST", "/save"
    body = b"token=1f&pin=123456&network=Hall&device_id=oven-1&facility=a&broker=b"
    headers = {"host": ADDRESS}  # noqa: RUF012  # no typing module there


class Pin:
    """The right one was entered."""

    is_locked = False

    def is_right(self, _pin):
        return True


class Session:
    """The portal, as far as a form needs it."""

    address = ADDRESS

    def __init__(self):
        self.state, self.is_used = "form", False
        self.access_point = self
        self.lock = asyncio.Lock()
        self.token, self.pin, self.settings = "1f", Pin(), {}
        self.tried = []

    def begin_trial(self, settings):
        self.state = "trying"
        self.tried.append(settings["wifi_ssid"])


async def _saved_twice(session, writer):
    async with session.lock:  # as a page that is sent to another phone holds it
        forms = [
            asyncio.create_task(answers.answer(session, Request, writer))
            for _ in range(2)
        ]
        for _ in range(3):
            await asyncio.sleep(0)
    for form in forms:
        await form


def test_of_two_forms_that_waited_only_one_is_tried():
    real = answers.send
    sent, session = [], Session()

    async def send(_writer, status, *_):
        sent.append(status)

    answers.send = send
    try:
        asyncio.run(_saved_twice(session, None))
    finally:
        answers.send = real
    assert session.tried == ["Hall"]
    assert sent == ["303 See Other"] * 2
