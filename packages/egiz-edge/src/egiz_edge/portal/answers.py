"""The answers of the portal to a phone."""

import gc
import json

from egiz_edge import portal, unload, unload_rules
from egiz_edge.portal.http import Refused, send

# What phones ask to find out whether there is internet, and the true answers: another
# one shows our page, and the true one closes it.
_PROBES = {
    "/hotspot-detect.html": "<HTML><HEAD><TITLE>Success</TITLE></HEAD>"
    "<BODY>Success</BODY></HTML>",  # Apple
    "/library/test/success.html": "<HTML><HEAD><TITLE>Success</TITLE></HEAD>"
    "<BODY>Success</BODY></HTML>",
    "/generate_204": "",  # Android, and Chromium
    "/gen_204": "",
    "/connecttest.txt": "Microsoft Connect Test",  # Windows
    "/ncsi.txt": "Microsoft NCSI",
    "/canonical.html": '<meta http-equiv="refresh" content="0;'
    'url=https://support.mozilla.org/kb/captive-portal"/>',  # Firefox
    "/success.txt": "success\n",
}


async def answer(session, request, writer):
    """Answer a request; whatever name a phone asks for, it gets to the page."""
    here = "http://" + session.access_point.address
    if request.headers.get("host") != session.access_point.address:
        await _send_on(session, request, writer, here)
        return
    session.is_used = session.is_used or request.path in ("/", "/save")
    if request.path == "/save":
        await _save(session, request, writer, here)
    elif request.path == "/state":
        body = json.dumps({"state": session.state, "reason": session.reason})
        await send(
            writer, "200 OK", "Content-Type: application/json\r\n", body.encode()
        )
    elif request.path == "/":
        await _show(session, request, writer, session.reason)
    else:
        raise Refused("404 Not Found")


async def _send_on(session, request, writer, here):
    """To the page; once all is done, phones get the true answers to their probes."""
    found = None
    if session.state == "done":
        found = _true_answer(request.path)
    status, body = found or ("302 Found", b"")
    await send(writer, status, "" if found else "Location: %s/\r\n" % here, body)


async def _save(session, request, writer, here):
    origin = request.headers.get("origin")
    if origin not in (None, "null", here):
        raise Refused("403 Forbidden")
    async with session.lock:
        given, reason, wrong = _begin(session, request)
    if reason is not None:
        await _show(session, request, writer, reason, given, wrong)
        return
    await send(writer, "303 See Other", "Location: /\r\n")


def _begin(session, request):
    """Try what a form has; (fields, the reason for which it is not tried, wrong ones).

    Of two that waited for the lock, only the first one is tried; a browser that stands
    at this address may ask for it without a form.
    """
    if session.state != "form" or request.method != "POST":
        return None, None, ()
    gc.collect()  # a whole form needs a piece of memory that is as large
    given, reason, wrong, settings = _read(session, request)
    if reason is None:
        session.begin_trial(settings)
    return given, reason, wrong


def _read(session, request):
    """(fields, the reason for which they are not tried, wrong fields, settings)."""
    from egiz_edge.portal import form  # noqa: PLC0415  # not kept: it is large

    try:
        try:
            given = form.fields(request.body)
        except ValueError:
            raise Refused("400 Bad Request")
        if given.get("token") != session.token:
            return None, "expired", (), None
        if session.pin.is_locked or not session.pin.is_right(given.get("pin", "")):
            reason = "locked" if session.pin.is_locked else "wrong_pin"
            return given, reason, (), None
        settings, wrong = form.settings(given, session.settings)
        return given, "wrong_field" if wrong else None, wrong, settings
    finally:
        del form
        del portal.form
        unload("portal.form", "settings_check")
        unload_rules()


async def _show(session, request, writer, reason, given=None, wrong=()):
    """One page at a time: a view and a check of the form do not fit beside another."""
    from egiz_edge.portal import page  # noqa: PLC0415  # not kept, see unload

    async with session.lock:
        try:
            await page.show(session, request, writer, reason, given, wrong)
        finally:
            del page
            del portal.page
            unload("portal.page")


def _true_answer(path):
    """(status, body) for a path, or None if no phone asks for it."""
    body = _PROBES.get(path.split("?")[0])
    if body is None:
        return None
    return ("200 OK" if body else "204 No Content"), body.encode()
