"""One opening of the portal: form, trial, and what is stored when it has succeeded."""

import asyncio
import json
import os
import time

from egiz_edge import boot_loop, unload, unload_rules
from egiz_edge.portal import answers, dns
from egiz_edge.portal.http import Server
from egiz_edge.portal.pin import Pin

_ROUND_S = 0.5
_ANSWER_S = 1  # for the phone to get its answer, before the channel may change
_NETWORKS_MAX = 16
_OPEN_MS = 15000  # after success: the phone reads it, and its probes get true answers
# Why a trial failed -> the secret that it may be for.
_SECRETS = {"wrong_key": "wifi_password", "no_login": "password"}


class Session:
    """The portal of a board.

    Args:
        board: a port's `Board`.
        label: `Label`.
        path: of settings.json.
        is_asked: whether a person has opened it.

    Attributes:
        state: `form`, `trying`, `done`.
        reason: the name of the text that says why the last trial failed, or None.
        settings: as they are stored; after a trial that failed, as they were tried:
            what was right in them need not be entered again.
        lock: of what needs much memory.
        networks: that are near, as `scan` of the access point gives them.
        is_used: whether a phone has asked for the page since this was last False; what
            it asks of the internet, to find out whether there is any, is no such thing.
        token: what the form must bring, so that no other page can send it.
    """

    def __init__(self, board, label, path, is_asked):
        self.board = board
        self.pin = Pin(board.store, label.pin, board.reset_cause() == "power_on")
        self.state, self.reason = "form", None
        self.access_point = board.access_point()
        self.token = os.urandom(8).hex()
        self.settings = _stored(path)
        self.networks = []
        self.is_used = False
        self.lock = asyncio.Lock()
        self._label = label
        self._path = path
        self._is_stopping = False
        self._done_ticks = None
        self._was_there = False  # a phone, since then
        self._tasks = []
        self._button = self._way_back = None
        if self.settings:
            from egiz_edge.portal.way_back import WayBack  # noqa: PLC0415  # not for a new board

            self._way_back = WayBack(self, self.settings, is_asked, print)

    @property
    def device_id(self):
        """As it is, or as it is offered."""
        return self.settings.get("device_id") or "device-" + self.board.chip_id()[-4:]

    def stop(self):
        """End `run`."""
        self._is_stopping = True

    async def run(self):
        """Until the board has to boot again (True), or until `stop` is called."""
        point = self.access_point
        self.networks = strongest(point.scan())
        server = Server(lambda request, writer: answers.answer(self, request, writer))
        point.start(self._label.ssid, self._label.key)
        # Held: a task that nothing refers to may be collected.
        listening = await asyncio.start_server(server.serve, "0.0.0.0", point.ports[0])  # noqa: S104  # its own network
        self._tasks.append(
            asyncio.create_task(dns.serve(point.ports[1], point.address))
        )
        print(
            "portal: join the Wi-Fi %s, then http://%s"
            % (self._label.ssid, point.address)
        )
        while not self._is_stopping and not self._is_over():
            self.board.watchdog.feed()
            server.expire()
            await asyncio.sleep(_ROUND_S)
        listening.close()
        for task in self._tasks:
            task.cancel()
        point.stop()
        return not self._is_stopping

    def begin_trial(self, settings):
        """Try settings; they are stored if they lead to the broker."""
        self.state, self.reason, self.settings = "trying", None, settings
        if self._way_back is not None:
            self._way_back.stop()
        self._tasks.append(asyncio.create_task(self._try()))

    def _is_over(self):
        """Whether the board has to boot again: the phone knows, if all is done."""
        if self._is_reset_ordered():
            return True
        if self._done_ticks is None:
            is_form = self.state == "form" and self._way_back is not None
            return is_form and self._way_back.is_over()
        is_there = self.access_point.clients() > 0
        self._was_there = self._was_there or is_there  # the trial may have dropped it
        is_late = time.ticks_diff(time.ticks_ms(), self._done_ticks) > _OPEN_MS
        return is_late or (self._was_there and not is_there)

    def _is_reset_ordered(self):
        pin = self.board.pins["button"]
        if self._button is None:
            if not pin.value():
                return False
            from egiz_edge.portal.button import Button  # noqa: PLC0415  # seldom pressed

            self._button = Button(pin, print)
        if self._button.look() != "factory_reset":
            return False
        from egiz_edge.portal import ordered  # noqa: PLC0415  # it ends this boot

        return ordered.accept(self.board, "factory_reset", "button") is not None

    async def _try(self):
        await asyncio.sleep(_ANSWER_S)
        try:
            found = await self._problem() or self._not_stored()
        except Exception as error:  # the form must be there again, whatever happened
            found = "no_broker", "%r" % error
        if found is None:
            print("portal: the settings lead to the broker, and are stored")
            self.state, self._done_ticks = "done", time.ticks_ms()
            self._was_there = self.access_point.clients() > 0
            return
        print("portal: %s; nothing is stored" % found[1])
        self.reason = found[0]
        # What is known to be wrong is not kept by an empty field.
        self.settings.pop(_SECRETS.get(self.reason), None)
        self.board.wifi.configure(None, None)  # a search would disturb its own network
        self.state = "form"

    def _not_stored(self):
        """Why the settings cannot be kept, as `_problem` has it, or None."""
        try:
            commit(self.board, self._path, self.settings)
        except Exception as error:
            try:  # a part of them, which would stay on a full flash
                os.remove(self._path + ".new")
            except OSError:
                pass  # there is none
            return "not_stored", "settings.json: %r" % error
        return None

    async def _problem(self):
        try:
            return await self._reach()
        except MemoryError:  # a phone's question may have been beside it
            pass
        return await self._reach()

    async def _reach(self):
        from egiz_edge import reach  # noqa: PLC0415  # not kept: it is large

        try:
            return await reach.problem(self.board, self.settings)
        finally:
            del reach
            unload("reach", "mqtt", "tls")


def commit(board, path, settings):
    """Keep what has proved itself; a power cut leaves the old or the new.

    An exception where the flash is full, or the memory; then nothing is changed, and a
    part of the new may lie beside the old. What fails once they are in force is none:
    it is only the reason of the next reset.
    """
    from egiz_edge import joined  # noqa: PLC0415  # once in the life of a portal

    joined.keep(board.store, settings["wifi_ssid"])
    with open(path + ".new", "w") as file:
        json.dump(settings, file)
    os.rename(path + ".new", path)
    try:
        boot_loop.write(board.data_directory, 0, "reboot: portal")
    except Exception as error:
        print("portal: the reason of the next reset is not kept: %r" % error)


def _stored(path):
    """The settings that can be used, and TLS in any case: never one step in clear."""
    from egiz_edge import settings_check  # noqa: PLC0415  # not kept: it is large

    found = {}
    try:
        with open(path) as file:
            given = json.load(file)
        found = given if type(given) is dict else {}
        for name in settings_check.problems(found):
            if name != "tls":
                found.pop(name, None)
        for name, value in found.items():  # an emoji may be two halves
            if type(value) is str:
                found[name] = settings_check.whole(value)
    except (OSError, ValueError, MemoryError):
        pass  # none, or none that can be read
    finally:
        unload("settings_check")
        unload_rules()
    return found


def strongest(found):
    """What a scan has found, as the portal shows it: the strongest first.

    Args:
        found: (name as bytes, dBm, whether it is open); a name may be there twice, and
            may be empty or no UTF-8: no one can choose that.
    """
    best = {}
    for name, rssi, is_open in found:
        try:
            ssid = name.decode()
        except ValueError:
            continue
        if ssid and "\0" not in ssid and rssi > best.get(ssid, (-999,))[0]:
            best[ssid] = (rssi, is_open)
    ordered = sorted([(-best[ssid][0], ssid) for ssid in best])
    return [(ssid, -rssi, best[ssid][1]) for rssi, ssid in ordered[:_NETWORKS_MAX]]
