"""The selector and the record of the slots, on littlefs in the real interpreter."""

import itertools
import json
from importlib.resources import files
from pathlib import Path

import pytest

SELECTOR = Path(str(files("egiz_edge"))).parent / "egiz_edge_boot/main.py"
# A flash in memory whose power fails at an operation of a test's choice.
RIG = """
import gc, io, json, os, sys, vfs
sys.path.append(sys.argv[2])
from egiz_edge import slots
for name in ("egiz_edge.slots", "egiz_edge"):
    del sys.modules[name]
class PowerCut(BaseException):
    pass
class Flash:
    def __init__(self, data):
        self.data = data
        self.left = None
        self.used = 0
    def readblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        buffer[:] = self.data[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        if self.is_cut():
            half = len(buffer) // 2 if self.left == -1 else 0
            self.data[at : at + half] = buffer[:half]
            raise PowerCut()
        self.data[at : at + len(buffer)] = buffer
    def is_cut(self):
        self.used += 1
        if self.left is not None:
            self.left -= 1
        return self.left is not None and self.left < 0
    def ioctl(self, operation, argument):
        if operation == 6:
            if self.is_cut():
                raise PowerCut()
            self.data[argument * 4096 : argument * 4096 + 4096] = b"\\xff" * 4096
        return {4: len(self.data) // 4096, 5: 4096}.get(operation, 0)
class Machine:
    def WDT(self, timeout):
        events.append("watchdog")
sys.modules["machine"] = Machine()
events = sys.modules["happened"] = []
with open(sys.argv[1]) as file:
    selector = file.read()
def mount():
    try:
        vfs.umount("/")
    except OSError:
        pass
    vfs.mount(vfs.VfsLfs2(flash), "/")
def put(path, text):
    for depth in range(2, len(path.split("/"))):
        try:
            os.mkdir("/".join(path.split("/")[:depth]))
        except OSError:
            pass
    with open(path, "wb") as file:
        file.write(text)
def get(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None
SOUND = "import happened\\ndef main(directory):\\n    happened.append('%s runs')\\n"
LINES = {"sound": SOUND, "raises": "raise ValueError('broken %s')\\n",
    "is no Python": "def %s\\n", "misses a module": "import egiz_%s_gone\\n",
    "crashes": "def main(directory):\\n    raise OSError('%s crashed')\\n",
    "has no memory": "bytearray(1 << 40) # %s\\n"}
def fill(slot, kind):
    if kind == "is empty":
        return
    code = LINES["sound" if kind == "is torn" else kind] % slot
    put("/%s/egiz_edge/main.py" % slot, code.encode())
    put("/%s/egiz_edge/__init__.py" % slot, b"")
    if kind != "is torn":
        put("/%s/release" % slot, b"")
def new(record, a, b, boots="0 "):
    global flash
    flash = Flash(bytearray(b"\\xff" * (4096 * 64)))
    vfs.VfsLfs2.mkfs(flash)
    mount()
    put("/settings.json", b"{}")
    put("/data/boots", boots.encode())
    if record is not None:
        put("/slot", record if isinstance(record, bytes) else record.encode())
    fill("a", a)
    fill("b", b)
    flash.used = 0
def boot():
    "What happened, or None after a power cut."
    global flash
    events[:] = []
    for name in [name for name in sys.modules if name.startswith("egiz_")]:
        del sys.modules[name]
    printed = []
    try:
        mount()
        exec(selector, {"print": lambda text: printed.append(text)})
    except PowerCut:
        flash = Flash(flash.data[:])  # a file that is still open writes to the old one
        return None
    return events + printed
"""
KINDS = ("sound", "is torn", "is empty", "raises", "is no Python", "misses a module")
BROKEN = (*KINDS[3:], "has no memory")
RECORDS = {
    "absent": None,
    "empty": "",
    "torn": "a",
    "of zeros": b"\0" * 20,
    "of erased flash": b"\xff" * 20,
    "of foreign text": '{"slot": "b"}\n',
    "of another line's end": "b\r\n- 0 ",
    "not of text": b"\xff\xfe\x80 - 0 ",
    "of a slot c": "c - 0 ",
    "on trial against itself": "a a 3 ",
    "with words for slots": " a- 3 x",
    "with many boots left": "b a 12 ",
    "in capitals": "A - 0 ",
    "with letters for boots": "b a x ",
    "on trial of a slot c": "a c 3 ",
}


@pytest.fixture
def on_flash(micropython):
    """Run code of the rig; gives the values that it emits."""

    def run(code):
        arguments = (str(SELECTOR), str(SELECTOR.parents[1]))
        emit = (
            "def emit(*values):\n    io_print(json.dumps(values))\nio_print = print\n"
        )
        printed = micropython.run(RIG + emit + code, *arguments, heap="4m")
        # A file that a power cut left open says so when it is collected.
        return [json.loads(line) for line in printed.splitlines() if line[0] == "["]

    return run


def test_a_slot_that_is_whole_and_loads_runs_whatever_the_record_says(on_flash):
    records = [*RECORDS.values(), "a - 0 ", "b - 0 ", "a b 0 x", "b a 3 ", "a b 1 "]
    cases = list(itertools.product(records, KINDS, KINDS))
    results = on_flash(
        f"for record, a, b in {cases!r}:\n    new(record, a, b)\n    emit(boot())\n"
    )
    assert len(results) == len(cases) == 720
    for (record, a, b), [happened] in zip(cases, results, strict=True):
        assert happened[0] == "watchdog"  # before anything of a slot
        if "sound" in (a, b):
            assert happened[1] in ("a runs", "b runs"), (record, a, b)
            assert {"a runs": a, "b runs": b}[happened[1]] == "sound"
        else:
            assert "the firmware does not run: ImportError" in happened[1]
        assert len(happened) == 2


def test_a_trial_that_is_not_confirmed_runs_three_times_and_is_rolled_back(on_flash):
    code = """
new("a b 3 ", "sound", "sound", boots="4 crash: ValueError()")
for number in range(6):
    emit(boot()[1], get("/slot"), get("/data/boots"))
"""
    crashed = "crash: ValueError()"
    assert on_flash(code) == [
        ["b runs", "a b 2 ", "4 " + crashed],
        ["b runs", "a b 1 ", "4 " + crashed],
        ["b runs", "a b 0 ", "4 " + crashed],
        # Its crashes do not bring the healthy slot nearer to safe mode.
        ["a runs", "a - 0 rolled back: " + crashed, "0 " + crashed],
        ["a runs", "a - 0 rolled back: " + crashed, "0 " + crashed],
        ["a runs", "a - 0 rolled back: " + crashed, "0 " + crashed],
    ]


def test_a_trial_that_hangs_is_rolled_back_without_a_reason_of_its_own(on_flash):
    code = """
new("a b 0 ", "sound", "sound", boots="3 ")
emit(boot()[1], get("/slot"), get("/data/boots"))
"""
    word = "not confirmed"
    assert on_flash(code) == [["a runs", "a - 0 rolled back: " + word, "0 " + word]]


def test_a_trial_that_is_confirmed_stays(on_flash):
    code = """
new("a b 3 ", "sound", "sound")
boot()
slots.confirm("")
emit(slots.read(""))
for number in range(4):
    emit(boot()[1])
slots.confirm("")  # of no trial: nothing
emit(slots.read(""))
"""
    steady = [["b", "-", 0, "confirmed"]]
    assert on_flash(code) == [steady, *[["b runs"]] * 4, steady]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_trial_that_does_not_load_is_rolled_back_at_once(on_flash, kind):
    code = f"""
new("a b 3 ", "sound", {kind!r}, boots="2 before")
emit(boot()[1], slots.read(""), get("/data/boots"))
"""
    [[ran, (run, trial, left, word), boots]] = on_flash(code)
    assert (ran, run, trial, left) == ("a runs", "a", "-", 0)
    assert word.startswith("rolled back: b does not load: ")
    assert boots == "0 " + word.removeprefix("rolled back: ")


def test_a_trial_that_crashes_leaves_no_traceback_and_is_rolled_back(on_flash):
    code = """
new("a b 3 ", "sound", "crashes")
for number in range(4):
    emit(*boot())
"""
    word = "the firmware does not run: OSError('b crashed',); egiz-edge deploy"
    assert on_flash(code) == [["watchdog", word]] * 3 + [["watchdog", "a runs"]]


def test_a_running_slot_that_does_not_load_gives_way_to_the_other(on_flash):
    code = """
new("b - 0 ", "sound", "raises", boots="2 before")
for number in range(2):
    emit(boot()[1], get("/slot"), get("/data/boots"))
"""
    reason = "b does not load: ValueError('broken b',)"
    assert on_flash(code) == [["a runs", "a - 0 " + reason, "0 " + reason]] * 2


def test_a_board_without_settings_is_left_at_its_prompt(on_flash):
    code = """
new(None, "sound", "sound")
os.remove("/settings.json")
emit(boot())
"""
    assert on_flash(code) == [[["no settings yet: egiz-edge deploy --settings FILE"]]]


def test_a_record_that_the_selector_cannot_write_does_not_keep_the_board(on_flash):
    code = """
for record in (None, "a b 0 x", "a b 3 "):
    new(record, "sound", "sound")
    os.mkdir("/slot.new")
    emit(boot()[1])
"""
    assert on_flash(code) == [["a runs"]] * 3  # a trial that cannot be counted does not


CUTS = """
for kind, record in {cases!r}:
    cut = 0
    while True:
        new(record, "sound", kind, boots="2 before")
        flash.left = cut
        first = boot()
        flash.left = None
        later = [boot() for number in range(5)]
        emit(kind, record, cut, first, later, get("/slot"))
        if first is not None:
            break
        cut += 1
"""


def test_a_power_cut_at_any_operation_of_the_selector_leaves_a_slot_that_runs(on_flash):
    kinds, records = ("sound", "raises"), ("a b 3 ", "a b 1 ", "a b 0 ", "b - 0 ", None)
    cases = list(itertools.product(kinds, records))
    results = on_flash(CUTS.format(cases=cases))
    cuts = [result for result in results if result[3] is None]
    assert len(cuts) >= 30
    for kind, record, cut, _, later, end in results:
        ran = [happened[1] for happened in later]
        assert set(ran) <= ({"a runs", "b runs"} if kind == "sound" else {"a runs"})
        if record is None:
            assert ran == ["a runs"] * 5
        elif record.startswith("a b"):
            tries = ran.count("b runs")
            assert tries <= int(record[4])
            assert ran == ["b runs"] * tries + ["a runs"] * (5 - tries), (record, cut)
            assert end.startswith("a - 0 rolled back: ")


def test_the_firmware_and_the_selector_read_the_same_record(on_flash):
    sound = ["a - 0 ", "b - 0 some words: of 1", "a b 3 ", "b a 0 x", "a - 0"]
    code = f"""
for record in {[*RECORDS.values(), *sound]!r}:
    new(record, "sound", "sound")
    read = slots.read("")
    boot()
    emit(read, slots.read(""))
"""
    results = on_flash(code)
    for read, after in results[: len(RECORDS)]:
        assert (read, after) == (None, ["a", "-", 0, "no record"])
    assert [read for read, _ in results[len(RECORDS) :]] == [
        ["a", "-", 0, ""],
        ["b", "-", 0, "some words: of 1"],
        ["a", "b", 3, ""],
        ["b", "a", 0, "x"],
        ["a", "-", 0, ""],
    ]
    for read, after in results[len(RECORDS) :]:
        if read[1] == "-":
            assert after == read
        elif read[2]:
            assert after == [read[0], read[1], read[2] - 1, read[3]]


@pytest.mark.parametrize("kind", ["sound", "raises"])
def test_a_record_that_is_a_directory_or_has_no_end_keeps_no_slot_from_running(
    on_flash, kind
):
    """As littlefs gives it after a fault of the flash, or somebody at the prompt."""
    code = f"""
new(None, {kind!r}, "sound")
os.mkdir("/slot")
emit(boot()[1], slots.read(""))
new("a - 0 " + "x" * 150000, {kind!r}, "sound")
gc.collect()
rest = []
while gc.mem_free() > 100000:  # a board has no more
    rest.append(bytearray(10000))
boots = [boot()[1] for number in range(3)]
emit(*boots, os.stat("/slot")[6] < 1000)
"""
    runs = {"sound": "a runs", "raises": "b runs"}[kind]
    found = on_flash(code)
    assert found[0] == [runs, None]
    assert found[1][:3] == [runs] * 3
    assert found[1][3] == (kind != "sound")  # what is sound is not written


def test_what_the_firmware_writes_the_selector_obeys(on_flash):
    code = """
new("a - 0 ", "sound", "sound")
slots.write("", "a", "b", slots.TRIES)
emit([boot()[1] for number in range(5)])
slots.write("", "b", word="by cable")
emit([boot()[1] for number in range(2)], get("/slot"))
"""
    assert on_flash(code) == [
        [["b runs"] * 3 + ["a runs"] * 2],
        [["b runs"] * 2, "b - 0 by cable"],
    ]


def test_the_selector_is_small_and_leaves_little_in_the_heap(on_flash):
    assert len(SELECTOR.read_text().splitlines()) <= 64
    slot = b"import gc, happened\ndef main(directory):\n    gc.collect()\n    happened"
    code = f"""
new("a - 0 ", "sound", "sound")
put("/a/egiz_edge/main.py", {slot + b".append(gc.mem_alloc())"!r})
plain = "from egiz_edge.main import main\\nmain('')"
found = []
for selector in (plain, selector) * 2:
    sys.path[:] = ["/a", ".frozen", "/lib"]
    for _ in range(3):
        happened = boot()
    found.append(happened[-1])
emit(*found)
"""
    [[_, _, plain, selector]] = on_flash(code)
    assert selector - plain < 4096
