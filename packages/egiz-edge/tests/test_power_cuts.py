"""The power fails at every operation of the flash in an update.

The interpreter, littlefs, the selector, the updater, the trial and the server's sockets
are real. Each life of the board begins with what the flash holds after a part of the
operations of an update, so no cut repeats what came before it.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from egiz_edge_tools.bundle import selector, stage_modules
from egiz_edge_tools.packing import compose
from egiz_edge_tools.remote import ON_BOARD
from rig import updates
from rig.firmware import Firmware
from rig.releases import Releases

BOARD = Path(__file__).parent / "update_cuts/board.py"
# The modules are the same for both slots: only what a slot has of its own is written.
PACKAGE = """__path__ = "/firmware/egiz_edge"
VERSION, CRASHES = %r, %r
from egiz_edge.own import discard, unload, unload_rules
"""
STARTUP = """
import sys
def board_in(directory):
    return sys.modules["bench"].Board(directory)
def load(directory, data, count, reset_reason):
    return sys.modules["bench"].load(data, reset_reason)
"""
# Of one with all modules, which shares none of them.
OF_ITS_OWN = """
import egiz_edge
egiz_edge.VERSION, egiz_edge.CRASHES = %r, %r
"""
BRIEF = """
TRIAL_MS, STALL_MS, CONFIRM_MS, RESTART_MS = 120000, 30000, 60, 1000
BLOCKED_MS = 10000
"""
REPLACED = {"egiz_edge/startup.py": STARTUP, "egiz_edge/timeouts.py": BRIEF}
SETTINGS = json.dumps({"facility": "factory", "device_id": "oven-001", "broker": "::"})
OUTBOX = "what waits for the broker"
# Of the rig: it has a flash in memory, its copies and a journal. With 6 MB it failed.
HEAP = "64m"
NEW_SELECTOR = {"main.py": (selector() + b"# another one\n").hex()}


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    """The modules of all slots: those of the firmware, but for the app."""
    directory = tmp_path_factory.mktemp("firmware")
    stage_modules(directory, replaced=REPLACED)
    (directory / "egiz_edge/__init__.mpy").rename(directory / "egiz_edge/own.mpy")
    shutil.copy(ON_BOARD, directory / "on_board.py")
    return directory


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Releases(tmp_path_factory.mktemp("keys") / "keys")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A factory of the files of a slot with the whole firmware, as it is made."""
    made = Firmware(tmp_path_factory.mktemp("whole"), REPLACED)

    def make(version, *, crashes=False, is_contained=True):
        directory = tmp_path_factory.mktemp("slot") / "slot"
        startup = {"egiz_edge/startup.py": STARTUP + OF_ITS_OWN % (version, crashes)}
        made.write(directory, version, startup, is_contained=is_contained)
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in directory.rglob("*.*")
        }

    return make


def slot_of(keys, version, *, crashes=False, security=0, more=None, files=None):
    """(the release as a file, what a slot with it holds: path -> content in hex)."""
    files = files or (more or {}) | {
        "egiz_edge/__init__.py": (PACKAGE % (version, crashes)).encode(),
        "egiz_edge/page.html": f"<p>{version}".encode() * 60,  # several programs
        "egiz_edge/portal/same.txt": b"the same in all versions",
        f"egiz_schema/only_in_{version[2]}.py": b"",
        "egiz_schema/__init__.py": b'__path__ = "/firmware/egiz_schema"\n',
    }
    head = [
        *("egiz 1", f"version {version}", f"security {security}", "target linux"),
        *("mpy 6 0", "boot 1", "keys 1", ""),
    ]
    made = compose(version, head, sorted(files.items()))
    signature = keys.signature(made.manifest)
    held = {path: content.hex() for path, content in files.items()}
    held["release"] = made.head("r1", signature).hex()
    return made.signed("r1", signature), held


class Lives:
    """How each life of the board went.

    Attributes:
        whole: (events, end) without a power cut.
        operations: of the flash, without a power cut.
        erases: those of them that erase.
        blocks: of the flash that it took.
        cut: (operations in which the power failed, events, end) of all others.
    """

    def __init__(self, micropython, firmware, case):
        done = subprocess.run(
            [micropython.program, "-X", f"heapsize={HEAP}", BOARD, firmware],
            env={"MICROPYPATH": ".frozen"},
            input=json.dumps(case) + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        lines = done.stdout.splitlines()
        found = [json.loads(line) for line in lines if line.startswith("[[")]
        ran = [json.loads(line) for line in lines if '"erases": ' in line]
        self.whole = found[0][1:]
        self.cut = found[1:]
        self.erases, self.operations = ran[0]["erases"], ran[0]["operations"]
        self.blocks = ran[0]["blocks"]


@pytest.fixture
def lives(micropython, firmware, keys):
    """A factory of `Lives`: slot a runs 0.2.0, b has 0.1.0, and 0.3.0 is ordered."""
    servers = []

    def make(action, pairs=0, blocks=96, *, every=1, has_b=True, whole=(), **release):
        """`every`: how many operations from one cut to the next; 0 for no cut."""
        slots = {version: slot_of(keys, version) for version in ("0.1.0", "0.2.0")}
        slots["0.3.0"] = slot_of(keys, "0.3.0", **release)
        slots |= {one: slot_of(keys, one, files=whole[one], **release) for one in whole}
        server = updates.UpdateServer(updates.file(slots["0.3.0"][0]))
        servers.append(server)
        order = {"version": "0.3.0", "url": server.directory}
        held = {version: files for version, (_, files) in slots.items()}
        case = {
            "files": flash_of(keys, a=held["0.2.0"], b=held["0.1.0"] if has_b else {}),
            "blocks": blocks,
            "every": every,
            "slots": held,
            "wanted": {"ota": order, "rollback": {}}.get(action),
            "cable": held["0.3.0"] | NEW_SELECTOR if action == "deploy" else None,
            "pairs": pairs,
        }
        return Lives(micropython, firmware, case)

    yield make
    for server in servers:
        server.close()


def flash_of(keys, **slots):
    """Path -> content in hex, of a board before an update."""
    flash = {
        "/main.py": selector(),
        "/settings.json": SETTINGS.encode(),
        "/data/outbox/1": OUTBOX.encode(),
        "/data/boots": b"0 power_on",
        "/slot": b"a - 0 confirmed",
        "/keys": (keys.directory / "keys").read_bytes(),
        "/store_root": (keys.directory / "root.modulus").read_bytes().strip(),
    }
    files = {path: data.hex() for path, data in flash.items()}
    for slot, held in slots.items():
        files |= {f"/{slot}/{path}": data for path, data in held.items()}
    return files


def ended(status, **more):
    """What a flash then has, beside what no update may change."""
    kept = {"a": "0.2.0", "settings": SETTINGS, "outbox": OUTBOX, "order": None}
    return kept | {"status": status, "floor": None} | more


def said(state, version, error=None):
    """What the status has of an update."""
    members = {"state": state, "version": version, "error": error}
    return json.dumps({k: v for k, v in members.items() if v}, separators=(",", ":"))


CONFIRMED = ended(said("done", "0.3.0"), b="0.3.0", floor="3", record="b - 0 confirmed")
CRASH = "crash: ValueError('broken release',)"


def rolled_back(reason):
    """What has failed its trial is no version to go back to."""
    record = f"a - 0 rolled back: {reason}"
    return ended(said("rolled_back", "0.3.0", reason), b=None, record=record)


def check(lives, ends, befores, last, every=1, before="0.1.0"):
    """Each life that began with a cut ended as it must.

    Args:
        lives: the `Lives`.
        ends: of a life in which an update had begun before the power failed.
        befores: the records of a flash on which none had; then nothing changes.
        last: what each life ends with.
        every: how many operations from one cut to the next.
        before: the version in slot b before the update.
    """
    assert lives.whole[1] == ends[0], lives.whole
    for cuts, events, end in lives.cut:
        if end["status"] is None:
            nothing = [ended(None, b=before, record=record) for record in befores]
            assert (events, end in nothing) == (["a runs 0.2.0"], True), (cuts, end)
            assert cuts[0] < lives.operations / 4, cuts
        else:
            assert (events[-1], end in ends) == (last, True), (cuts, events, end)
            assert set(events) <= {"a runs 0.2.0", "b runs 0.3.0"}, (cuts, events)
    tried = {cuts[0] for cuts, _, _ in lives.cut}
    assert tried == set(range(0, lives.operations, every))


BEFORES = ("a - 0 confirmed", "a - 0 ")


def test_a_good_release_runs_after_a_power_cut_at_any_operation(lives):
    found = lives("ota", security=3)
    assert found.whole[0] == ["a runs 0.2.0", "b runs 0.3.0"]
    assert found.operations > 80
    check(found, [CONFIRMED], BEFORES, "b runs 0.3.0")


def test_a_release_that_crashes_is_rolled_back_after_a_power_cut_at_any_operation(
    lives,
):
    found = lives("ota", crashes=True, security=3)
    assert found.whole[0] == ["a runs 0.2.0"] * 2
    assert found.operations > 100
    # The last try may be cut before its crash is written down.
    ends = [rolled_back(CRASH), rolled_back("not confirmed")]
    check(found, ends, BEFORES, "a runs 0.2.0")
    assert sum(end == ends[1] for _, _, end in found.cut) < 10


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("crashes", [False, True])
def test_an_update_ends_right_after_two_power_cuts(lives, crashes):
    found = lives("ota", pairs=20261127, crashes=crashes, security=3)
    assert len(found.cut) > 20 * found.operations
    ends = (
        [rolled_back(CRASH), rolled_back("not confirmed")] if crashes else [CONFIRMED]
    )
    check(found, ends, BEFORES, "a runs 0.2.0" if crashes else "b runs 0.3.0")


def test_a_rollback_leaves_one_of_the_two_versions_after_a_power_cut(lives):
    found = lives("rollback")
    back = ended(None, b="0.1.0", record="b - 0 ")
    status = said("rolled_back", "0.1.0", "command")
    assert found.whole == [["a runs 0.2.0", "b runs 0.1.0"], back | {"status": status}]
    ran = []
    for cuts, events, end in found.cut:
        ran += events
        if events == ["a runs 0.2.0"]:
            assert end == back | {"record": "a - 0 confirmed"}, cuts
        else:  # the power may fail before the status is kept
            assert events == ["b runs 0.1.0"], cuts
            assert end in (back, back | {"status": status}), cuts
    assert ran == sorted(ran)  # what has switched once stays so
    assert len(ran) == found.operations >= 6
    assert {"a runs 0.2.0", "b runs 0.1.0"} == set(ran)


def test_a_deploy_leaves_the_old_or_the_new_version_after_a_power_cut(lives):
    found = lives("deploy")
    new = ended(None, b="0.3.0", record="b - 0 by cable")
    assert found.whole == [["b runs 0.3.0"], new]
    ran = []
    for cuts, events, end in found.cut:
        ran += events
        assert events in (["a runs 0.2.0"], ["b runs 0.3.0"]), cuts
        if events == ["b runs 0.3.0"]:
            assert end == new, cuts
        else:
            assert end | {"b": None} == ended(None, b=None, record="a - 0 confirmed")
    # What has switched once stays so.
    assert ran == sorted(ran)
    assert len(ran) == found.operations > 30
    assert {"a runs 0.2.0", "b runs 0.3.0"} == set(ran)


def test_a_release_for_which_the_flash_has_no_room_touches_no_file_of_a_slot(lives):
    more = {"egiz_edge/portal/large.html": bytes(200000)}
    found = lives("ota", every=0, more=more)
    reason = json.loads(found.whole[1]["status"])["error"]
    needs, has = re.fullmatch(r"no room: needs (\d+) KB, has (\d+)", reason).groups()
    assert int(has) < 200 < int(needs) < 256
    status = said("refused", "0.3.0", reason)
    assert found.whole == [
        ["a runs 0.2.0"] * 2,
        ended(status, b="0.1.0", record="a - 0 "),
    ]


# The shape of the release that runs, and of the one that comes: in containers, or each
# module a file.
SHAPES = {"containers": (True, True), "first": (False, True), "back": (True, False)}


@pytest.mark.parametrize(
    ("shapes", "crashes", "every"),
    [
        ("containers", False, 151),
        ("containers", True, 151),
        ("first", False, 151),
        ("back", False, 151),
        pytest.param("containers", False, 1, marks=pytest.mark.soak),
        pytest.param("containers", True, 1, marks=pytest.mark.soak),
        pytest.param("first", False, 1, marks=pytest.mark.soak),
        pytest.param("back", True, 1, marks=pytest.mark.soak),
    ],
)
@pytest.mark.timeout(3600)
def test_the_whole_firmware_is_updated_after_a_power_cut_whatever_its_shape(
    lives, whole, shapes, crashes, every
):
    runs, comes = SHAPES[shapes]
    files = {
        "0.2.0": whole("0.2.0", is_contained=runs),
        "0.3.0": whole("0.3.0", is_contained=comes, crashes=crashes),
    }
    found = lives("ota", blocks=320, every=every, has_b=False, whole=files, security=3)
    assert found.operations > 1000
    ends, last = [CONFIRMED], "b runs 0.3.0"
    if crashes:
        ends = [rolled_back(CRASH), rolled_back("not confirmed")]
        last = "a runs 0.2.0"
    check(found, ends, BEFORES, last, every, before=None)


def test_an_update_of_the_whole_firmware_erases_little_and_fits_beside_another(
    lives, whole
):
    """With 4 KB a block, on a flash that has held nothing else."""
    files = whole("0.3.0")
    found = lives("ota", blocks=240, every=0, has_b=False, whole={"0.3.0": files})
    print(len(files), found.erases, found.blocks)  # noqa: T201  # the figures
    assert found.whole[0] == ["a runs 0.2.0", "b runs 0.3.0"]
    assert found.erases <= 50
    assert found.blocks * 4 <= 256
