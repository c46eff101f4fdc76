"""Runs in MicroPython: updates on littlefs, from the flash that each power cut leaves.

The selector, the boots, the updater, the trial, the app's part of an update, and what a
deploy runs on a board are those of the firmware. What is not: the flash is in memory
and keeps a journal of its operations, a reset is an exception, and the app only does
what an update asks of it. Argument: a directory with the modules that all slots share.
What is tried comes from stdin, as JSON; a line is printed for each life of the board,
from a power-on until the app has nothing more to do.
"""

import asyncio
import gc
import hashlib
import json
import os
import sys

import vfs  # type: ignore[import-not-found]  # MicroPython's

BLOCK = 4096
ERASED = b"\xff" * BLOCK
_BOOTS_MAX = 14
_POLL_MS = 5
_POLLS_MAX = 400
_DIRECTORY = 0x4000
_COME = ("release", "main.py")  # what a deploy has the hashes of
_PAIRS = 20  # second cuts for each first one


class Reset(BaseException):
    """What `machine.reset` comes to."""


class Flash:
    """A block device; its blocks are bytes, so a copy of the list is a snapshot."""

    def __init__(self, blocks):
        self.blocks = blocks
        self.journal = []  # (block, offset, bytes), or (block, None, erased)

    def readblocks(self, block, buffer, offset=0):
        buffer[:] = self.blocks[block][offset : offset + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        operation = (block, offset, bytes(buffer))
        self.journal.append(operation)
        perform(self.blocks, operation)

    def ioctl(self, operation, argument):
        if operation == 6:
            self.journal.append((argument, None, ERASED))
            perform(self.blocks, self.journal[-1])
        return {4: len(self.blocks), 5: BLOCK}.get(operation, 0)


def perform(blocks, operation, part=None):
    """Do an operation of a journal; of one that is cut, only its first bytes."""
    block, offset, data = operation
    at, old = offset or 0, blocks[block]
    data = data if part is None else data[:part]
    blocks[block] = old[:at] + data + old[at + len(data) :]


class World:
    """What the boots of a board share: its flash, and what a test wants of it."""

    def __init__(self, versions, blocks, wanted=None, cable=None):
        self.flash = Flash(blocks)
        self._versions = versions  # that a slot may have: its files
        self.wanted = wanted  # of the app in its first boot
        self.cable = cable  # files that come by cable before it
        self.events = []

    def live(self, boots=_BOOTS_MAX):
        """From a power-on until a boot of the app ends."""
        cause = "power_on"
        sys.modules["world"] = self
        if self.cable is not None:
            mount(self.flash)
            deploy(self.cable)
        for _ in range(boots):
            self.reset_cause = cause
            if not self._boot():
                return
            cause = "reboot"
        self.events.append("it resets for ever")

    def _boot(self):
        """Run the selector; gives whether that ended in a reset."""
        _forget("egiz_")
        asyncio.new_event_loop()
        mount(self.flash)
        if "torn" in [held(slot, self._versions) for slot in "ab"]:
            self.events.append("a slot that is not whole says that it is")
        try:
            exec(get("/main.py"), {"print": self.events.append})  # as a board does
        except Reset:
            return True
        return False


class Machine:
    """The module `machine` of a board."""

    def WDT(self, timeout):  # noqa: N802  # as a board has it
        return self

    def feed(self):
        """Only safe mode does it; the others have a board for that."""
        sys.modules["world"].events.append("safe mode")
        raise Reset

    def reset(self):
        raise Reset


class Memory:
    """The module `gc`: the firmware's heap is another test's, and this one is large."""

    def threshold(self, size):
        """The interpreter collects when it must."""

    def collect(self):
        """As above."""

    def mem_free(self):
        return 100000


class Watchdog:
    """It does not bite: what hangs is another test's."""

    def feed(self):
        """Not counted."""


class Wifi:
    """A network that is there."""

    def is_up(self):
        return True

    def name_servers(self):
        return ()

    def configure(self, ssid, password):
        """It has no name."""

    async def connect(self):
        """It is there."""


class Clock:
    """One that was set."""

    def is_synced(self):
        return True

    def now_ms(self):
        return 1764000000000


class Board:
    """With a store that is files, as the virtual board has it."""

    def __init__(self, directory):
        from egiz_edge.ports.virtual import Store

        self.data_directory = directory + "/data"
        self.store = Store(directory)
        self.wifi, self.clock, self.watchdog = Wifi(), Clock(), Watchdog()

    def reset_cause(self):
        return sys.modules["world"].reset_cause


class Parts:
    """Of the app, as update.py knows them."""

    acked = {"status": 1, "telemetry": 1}  # noqa: RUF012  # no typing module there
    state, device_id = "offline", "oven-001"
    sampling_rate_ms = publish_rate_ms = 1
    update = None

    def report_soon(self):
        """It is in the store, too."""


class App:
    """What the app does in an update: it takes the order, and watches over a trial."""

    def __init__(self, board, data):
        self.board, self._data = board, data
        self.settings = self.uplink = self.downlink = Parts()
        self.outbox = ()

    async def run(self):
        from egiz_edge import VERSION, boot_loop, slots, update

        world = sys.modules["world"]
        world.events.append("%s runs %s" % (slots.running(), VERSION))
        update.restore(self)
        boot_loop.write(self._data, 0)  # it has run well for a minute
        wanted, world.wanted = world.wanted, None
        if wanted is not None:
            reason = update.accept(self.board, Parts.device_id, wanted or None)
            if reason is not None:
                world.events.append(reason)
            self.reset("reboot: update")
        for _ in range(_POLLS_MAX):
            if not slots.is_on_trial(""):
                return
            await asyncio.sleep_ms(_POLL_MS)
        world.events.append("the trial has no end")

    def reset(self, reason):
        from egiz_edge import boot_loop

        boot_loop.note_reset(self._data, reason)
        raise Reset

    def log(self, text):
        """The console is not looked at."""

    def stop(self):
        """The end of the input is not looked at."""


def load(data, reset_reason):
    """The app, in place of `startup.load`."""
    import egiz_edge
    from egiz_edge import boot_loop

    board = Board("")
    if board.reset_cause() == "power_on":
        boot_loop.write(data, 1)
    if egiz_edge.CRASHES:
        raise ValueError("broken release")
    del reset_reason
    return App(board, data)


def mount(flash):
    """Make it the root of the file system."""
    os.chdir("/firmware")
    try:
        vfs.umount("/")
    except OSError:
        pass
    vfs.mount(vfs.VfsLfs2(flash), "/")
    os.chdir("/")


def put(path, content):
    """Write a file, and make the directories above it."""
    parts = path.split("/")[1:-1]
    for depth in range(1, len(parts) + 1):
        try:
            os.mkdir("/" + "/".join(parts[:depth]))
        except OSError:
            pass
    with open(path, "wb") as file:
        file.write(content)


def get(path):
    """The content of a file; None if it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def deploy(files):
    """Bring a version by cable, as `egiz-edge deploy` runs it on a board."""
    on_board = {}
    exec(get("/firmware/on_board.py"), on_board)
    on_board["begin"]("/b")
    put("/b/release.new", bytes.fromhex(files["release"]))
    on_board["gather"]("/b")
    for path in sorted(files):
        if path not in ("release", "main.py"):
            put("/b/" + path, bytes.fromhex(files[path]))
    put("/main.py.new", bytes.fromhex(files["main.py"]))
    hashes = [
        hashlib.sha256(bytes.fromhex(files[name])).digest().hex() for name in _COME
    ]
    on_board["commit"]("/b", *hashes)


def formatted(files, blocks):
    """The blocks of a flash with these files."""
    flash = Flash([ERASED] * blocks)
    vfs.VfsLfs2.mkfs(flash)
    mount(flash)
    for path in sorted(files):
        put(path, bytes.fromhex(files[path]))
    return flash.blocks


def state(versions):
    """What is on the mounted flash, as far as an update may change it."""
    found = {name: _text(get(path)) for name, path in STATE.items()}
    for slot in "ab":
        found[slot] = held(slot, versions)
    return found


def held(slot, versions):
    """The version that a slot says it has, `torn` if it has not, None if none."""
    head = get("/%s/release" % slot)
    for version in versions if head is not None else ():
        if head.hex() == versions[version]["release"]:
            return version if _holds("/" + slot, versions[version]) else "torn"
    return None


STATE = {
    "record": "/slot",
    "order": "/data/ota",
    "status": "/store_ota",
    "floor": "/store_floor",
    "settings": "/settings.json",
    "outbox": "/data/outbox/1",
}


def _holds(slot, files):
    """Whether a slot has these files, and no others."""
    there = [path[len(slot) + 1 :] for path in _files_in(slot)]
    there = [path for path in there if path != "release.new"]
    for path in there:
        if get("%s/%s" % (slot, path)).hex() != files.get(path):
            return False
    return len(there) == len(files)


def _files_in(directory):
    for entry in list(os.ilistdir(directory)):
        path = directory + "/" + entry[0]
        if entry[1] & _DIRECTORY:
            for inner in _files_in(path):
                yield inner
        else:
            yield path


def _text(content):
    return None if content is None else content.decode()


def _forget(*beginnings):
    for name in list(sys.modules):
        if name.startswith(beginnings):
            del sys.modules[name]


def report(case, world, *cuts):
    """Print how the lives of a board went: where the power failed, and the end."""
    print(json.dumps([cuts, world.events, state(case["slots"])]))


def after_cuts(before, journal, first, last, part):
    """(operation, flash) of each power failure from one operation of a journal on.

    Args:
        before: the flash before the journal.
        journal: of operations; the power fails in each.
        first: the number of the operation with which it begins.
        last: the number of the one before which it ends; None for all.
        part: how many bytes of an operation are done, of how many that it has.
    """
    blocks = before[:]
    for number, operation in enumerate(journal[:last]):
        if number >= first:
            torn = blocks[:]
            perform(torn, operation, part(number, len(operation[2])))
            yield number, torn
        perform(blocks, operation)


def part_of(number, size):
    """Of an operation that is cut: none, some or all of its bytes."""
    return number * 13 % (size + 1)


def main(case):
    """A life without a power cut, then one for each; with `pairs`, for some of two."""
    before = formatted(case["files"], case["blocks"])
    free = os.statvfs("/")[3]
    world = World(case["slots"], before[:], case["wanted"], case["cable"])
    world.live()
    report(case, world)
    journal = world.flash.journal
    erases = len([operation for operation in journal if operation[1] is None])
    counts = {"erases": erases, "operations": len(journal)}
    counts["blocks"] = free - os.statvfs("/")[3]
    print(json.dumps(counts))
    if not case["every"]:
        return
    seed = case["pairs"]
    for cut, torn in after_cuts(before, journal, 0, None, part_of):
        if cut % case["every"]:
            continue
        world = World(case["slots"], torn[:])
        world.live()
        report(case, world, cut)
        again = world.flash.journal
        for _ in range(_PAIRS if case["pairs"] and again else 0):
            seed = (seed * 1103515245 + 12345) % 2147483648
            second = seed // 65536 % len(again)
            for _, twice in after_cuts(torn, again, second, second + 1, part_of):
                world = World(case["slots"], twice)
                world.live()
                report(case, world, cut, second)
        gc.collect()


sys.modules["machine"], sys.modules["gc"] = Machine(), Memory()
sys.modules["bench"] = Parts()  # for the firmware's startup.py
sys.modules["bench"].Board, sys.modules["bench"].load = Board, load
vfs.umount("/")
vfs.mount(vfs.VfsPosix(sys.argv[1]), "/firmware")
main(json.loads(sys.stdin.readline()))
