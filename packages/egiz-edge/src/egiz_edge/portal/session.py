"""One opening of the portal: form, trial, and what is stored when it has succeeded."""

import asyncio
import json
import os
import time

from egiz_edge import boot_loop, unload
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

    Attributes:
        state: `form`, `trying`, `done`.
        reason: the name of the text that says why the last trial failed, or None.
        settings: as they are stored; after a trial that failed, as they were tried:
            what was right in them need not be entered again.
        lock: of what needs much memory.
        networks: that are near, as `scan` of the access point gives them.
        token: what the form must bring, so that no other page can send it.
    """

    def __init__(self, board, label, path):
        self.board = board
        self.pin = Pin(board.store, label.pin, board.reset_cause() == "power_on")
        self.state, self.reason = "form", None
        self.access_point = board.access_point()
        self.token = os.urandom(8).hex()
        self.settings = _stored(path)
        self.networks = []
        self.lock = asyncio.Lock()
        self._label = label
        self._path = path
        self._is_stopping = False
        self._done_ticks = None
        self._was_there = False  # a phone, since then
        self._tasks = []

    @property
    def device_id(self):
        """As it is, or as it is offered."""
        return self.settings.get("device_id") or "device-" + self.board.chip_id()[-4:]

    def stop(self):
        """End `run`."""
        self._is_stopping = True

    async def run(self):
        """Until there are settings, or `stop` is called: whether there are."""
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
        return self.state == "done"

    def begin_trial(self, settings):
        """Try settings; they are stored if they lead to the broker."""
        self.state, self.reason, self.settings = "trying", None, settings
        self._tasks.append(asyncio.create_task(self._try()))

    def _is_over(self):
        """Whether the phone has had its time to read that it is done, or has left."""
        if self._done_ticks is None:
            return False
        is_there = self.access_point.clients() > 0
        self._was_there = self._was_there or is_there  # the trial may have dropped it
        is_late = time.ticks_diff(time.ticks_ms(), self._done_ticks) > _OPEN_MS
        return is_late or (self._was_there and not is_there)

    async def _try(self):
        await asyncio.sleep(_ANSWER_S)
        try:
            found = await self._problem()
            if found is None:
                self._commit()
                self.state, self._done_ticks = "done", time.ticks_ms()
                self._was_there = self.access_point.clients() > 0
                return
            print("portal: %s; nothing is stored" % found[1])
            self.reason = found[0]
            # What is known to be wrong is not kept by an empty field.
            self.settings.pop(_SECRETS.get(self.reason), None)
        except Exception as error:  # the form must be there again, whatever happened
            print("portal: %r; nothing is stored" % error)
            self.reason = "no_broker"
        self.board.wifi.configure(None, None)  # a search would disturb its own network
        self.state = "form"

    async def _problem(self):
        from egiz_edge import reach  # noqa: PLC0415  # not kept: it is large

        try:
            return await reach.problem(self.board, self.settings)
        finally:
            del reach
            unload("reach", "mqtt", "tls")

    def _commit(self):
        """Keep what has proved itself; a power cut leaves the old or the new."""
        with open(self._path + ".new", "w") as file:
            json.dump(self.settings, file)
        os.rename(self._path + ".new", self._path)
        self.board.store.put("joined", self.settings["wifi_ssid"])
        boot_loop.write(self.board.data_directory, 0, "reboot: portal")
        print("portal: the settings lead to the broker, and are stored")


def provision(directory, stopper):
    """Open the portal of a board that has a label; with settings, it boots again.

    Args:
        directory: its flash.
        stopper: a coroutine function that stops the `Session`, or False.
    """
    opened = _open_in(directory)
    if opened is not None and asyncio.run(_until_over(opened, stopper)):
        opened.board.reboot()


async def _until_over(opened, stopper):
    stopping = asyncio.create_task(stopper(opened)) if stopper else None
    is_done = await opened.run()
    if stopping:
        stopping.cancel()
    return is_done


def _open_in(directory):
    """The `Session`, or None where it has no label, and so no network."""
    from egiz_edge import startup  # noqa: PLC0415  # not kept, see unload

    board = startup.board_in(directory)
    unload("startup")
    label = _label(board.store)
    if label is None:
        print("no settings yet: egiz-edge deploy --settings FILE")
        return None
    return Session(board, label, directory + "/settings.json")


class Label:
    """What is printed on the board.

    Attributes:
        ssid: the name of its own network.
        key: of that network.
        pin: six digits, which the form asks for.
    """

    def __init__(self, ssid, key, pin):
        self.ssid, self.key, self.pin = ssid, key, pin


def _label(store):
    words = (store.get("label") or "").split(" ")
    return Label(words[0], words[1], words[2]) if len(words) == 3 else None


def _stored(path):
    try:
        with open(path) as file:
            found = json.load(file)
        return found if type(found) is dict else {}
    except (OSError, ValueError):
        return {}


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
