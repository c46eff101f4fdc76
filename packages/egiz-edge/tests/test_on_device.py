"""The firmware's logic, under CPython and in the MicroPython interpreter."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from egiz_edge import timeouts
from egiz_edge_tools.bundle import stage_modules
from rig.waiting import eventually

DIRECTORY = Path(__file__).parent / "on_device"
MODULES = sorted(path.stem for path in DIRECTORY.glob("[!_]*.py"))

sys.path.append(str(DIRECTORY))  # what the tests share begins with an underscore

_RUN_ALL = """
import sys
tests = __import__(sys.argv[1])
ran = 0
for name in dir(tests):
    if name.startswith("test_"):
        getattr(tests, name)()
        ran += 1
print(ran)
"""


def _tests_of(module):
    spec = importlib.util.spec_from_file_location(module, DIRECTORY / f"{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return {k: v for k, v in vars(loaded).items() if k.startswith("test_")}


@pytest.fixture(scope="session")
def firmware(tmp_path_factory):
    directory = tmp_path_factory.mktemp("firmware")
    # As one assignment they stay names, which a test changes.
    names = [name for name in vars(timeouts) if name.isupper()]
    values = [getattr(timeouts, name) for name in names]
    code = f"{', '.join(names)} = {', '.join(map(str, values))}\n"
    # In no containers: what finds modules there is not in the heap of these tests.
    stage_modules(directory, replaced={"egiz_edge/timeouts.py": code})
    return directory


@pytest.fixture
def modules_that_stay():
    """The firmware unloads the contract's modules and its own; others here use them."""
    before = {name: m for name, m in sys.modules.items() if name.startswith("egiz_")}
    yield
    sys.modules.update(before)


@pytest.mark.usefixtures("modules_that_stay")
@pytest.mark.parametrize(
    ("module", "name"), [(m, name) for m in MODULES for name in _tests_of(m)]
)
def test_under_cpython(module, name):
    _tests_of(module)[name]()


@pytest.mark.parametrize("module", MODULES)
def test_in_micropython_on_the_heap_of_the_device(micropython, firmware, module):
    # Firmware first: a test module has the name of the module it tests.
    ran = micropython.run(_RUN_ALL, module, path=[firmware, DIRECTORY])
    assert json.loads(ran) == len(_tests_of(module))


KEPT = """
import gc
gc.threshold(8192)  # as main.py has it
gc.collect()
before = gc.mem_alloc()
import egiz_edge.main, egiz_edge.assembly
from egiz_edge import unload, unload_rules
unload("assembly", "processing")
unload_rules()
print(gc.mem_alloc() - before)
"""


def test_the_code_that_stays_loaded_needs_64_kb_of_the_heap_at_most(
    micropython, firmware
):
    # With 64-bit words; an ESP32 has 32-bit ones, and a heap of 110 KB.
    assert int(micropython.run(KEPT, path=[firmware])) < 64 * 1024


# The payloads between are what leaves the heap in pieces.
LARGEST_OUTBOX = """
import gc, sys
gc.threshold(8192)  # as main.py has it
from egiz_edge.outbox import Outbox
gc.collect()
before = gc.mem_alloc()
outbox = Outbox(sys.argv[1], 10000)
for number in range(10050):
    outbox.put(b"%05d" % number)
outbox.flush()
found = Outbox(sys.argv[1], 10000)
gc.collect()
print(outbox.dropped, len(outbox), len(found), gc.mem_alloc() - before)
for number in range(50, 10050):
    position, payload = found.peek()
    assert int(payload) == number, payload
    found.done(position)
print(len(found), found.dropped)
"""


def test_the_largest_outbox_waits_in_flash_and_not_on_the_heap(
    micropython, firmware, tmp_path
):
    printed = micropython.run(
        LARGEST_OUTBOX, str(tmp_path / "outbox"), path=[firmware], heap="48k"
    )
    counts, end = printed.splitlines()
    dropped, waiting, found, used = map(int, counts.split())
    assert (dropped, waiting, found, end) == (50, 10000, 10000, "0 0")
    assert used < 2 * 10 * 1024  # two outboxes
    assert not list((tmp_path / "outbox").iterdir())


def test_a_running_device_has_heap_to_spare(launch, mosquitto, live):
    running = launch(
        "egiz-edge",
        *("run", "--broker", mosquitto.url, "--sampling-ms", "200"),
        *("--publish-ms", "400"),
    )
    seen = eventually(lambda: live.messages("oven-001", "telemetry")[5:], 30)
    # Of 144 KB; what is garbage at that moment counts as used.
    assert max(m.status.free_memory_bytes for m in seen) > 10 * 1024
    assert running.interrupt() == 0
