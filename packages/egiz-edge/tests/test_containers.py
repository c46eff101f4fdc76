"""The modules of a slot in containers, in the real interpreter."""

import json
import shutil

import pytest
from egiz_edge_tools.bundle import sources, stage
from egiz_edge_tools.compiling import compile_file
from egiz_edge_tools.containers import contain

# In a slot of a test, each module says in which slot it is.
MODULES = ("app", "main", "drivers/__init__", "drivers/pzem", "ota/order", "ota/fetch")
EMIT = "import gc, json, sys\ndef emit(*values):\n    print(json.dumps(values))\n"


@pytest.fixture
def slot(tmp_path):
    """A factory of slots; each module is as large as it is given."""

    def make(name, sizes=None):
        directory = tmp_path / name
        for module in MODULES:
            filling = "x" * (sizes or {}).get(module, 0)
            code = f"WHERE, FILLING = {name!r}, '{filling}'\n"
            compile_file(code, directory, f"egiz_edge/{module}.py", "host")
        code = f"WHERE = {name!r}\n"
        compile_file(code, directory, "egiz_schema/limits.py", "host")
        compile_file("", directory, "egiz_edge/__init__.py", "host")
        (directory / "egiz_schema/__init__.py").touch()
        (directory / "egiz_edge/ota/page.txt").write_text("a line\nthe last one\n")
        contain(directory, "host")
        return directory

    return make


@pytest.fixture
def run(micropython):
    """Run code that imports from slots; gives the values that it emits."""

    def run(code, *slots, heap="96k"):
        printed = micropython.run(EMIT + code, path=slots, heap=heap)
        return [json.loads(line) for line in printed.splitlines()]

    return run


NAMES = [name.replace("/", ".").replace(".__init__", "") for name in MODULES]
IMPORT_ALL = f"""
for name in {NAMES!r}:
    emit(name, __import__("egiz_edge." + name, None, None, ["WHERE"]).WHERE)
from egiz_schema import limits
emit("limits", limits.WHERE)
"""
ALL = [*NAMES, "limits"]


@pytest.mark.parametrize("large", [0, 3000, 9000])
def test_each_module_is_imported_from_its_container(slot, run, large):
    made = slot("a", {"ota/order": large})
    assert run(IMPORT_ALL, made) == [[name, "a"] for name in ALL]
    blocks = [-(-path.stat().st_size // 4096) for path in made.rglob("*.pack")]
    assert sum(blocks) <= 2 + -(-large // 4096)  # with the index


def test_a_module_that_is_removed_from_memory_is_imported_again(slot, run):
    code = """
from egiz_edge import unload
from egiz_edge.ota import order
order.WHERE = "changed"
del order
unload("ota.order", "ota")
from egiz_edge.ota import order
emit(order.WHERE)
"""
    assert run(code, slot("a")) == [["a"]]


def test_what_is_in_no_container_is_no_module(slot, run):
    code = """
for name in ("egiz_edge.absent", "egiz_edge.ota.app", "egiz_edge.drivers.order"):
    try:
        __import__(name)
        emit(name)
    except ImportError as error:
        emit(str(error))
"""
    found = run(code, slot("a"))
    names = ("absent", "ota.app", "drivers.order")
    assert found == [[f"no module named 'egiz_edge.{name}'"] for name in names]


def test_a_file_that_is_no_module_is_read_to_its_end(slot, run):
    code = """
import egiz_edge
with open(egiz_edge.__path__ + "/ota/page.txt") as file:
    emit(file.read())
try:
    open(egiz_edge.__path__ + "/ota/absent.txt")
except OSError as error:
    emit(error.args[0])
"""
    assert run(code, slot("a")) == [["a line\nthe last one\n"], [2]]


def test_where_memory_is_short_an_import_says_so_and_not_that_a_module_is_absent(
    slot, run
):
    code = """
import egiz_edge
kept, count, size = [None] * 6000, 0, 2048
order, short, absent = None, 0, 0
while size > 8:
    try:
        kept[count] = bytearray(size)
        count += 1
    except MemoryError:
        size //= 2  # holes of every size are filled
while order is None:
    try:
        from egiz_edge.ota import order
    except MemoryError:
        short += 1
    except ImportError:
        absent += 1
    count -= 1
    kept[count] = None
emit(short > 10, absent, order.WHERE)
"""
    assert run(code, slot("a", {"ota/order": 300})) == [[True, 0, "a"]]


def test_where_the_flash_fails_an_import_says_so_and_not_that_a_module_is_absent(
    slot, run
):
    code = """
import egiz_edge, io
class Failing:
    def open(self, *_):
        raise OSError(5)
for flash in (Failing(), Failing(), io):
    egiz_edge.io = flash
    try:
        from egiz_edge.ota import order
        emit(order.WHERE)
    except (OSError, ImportError) as error:
        emit(repr(error))
"""
    assert run(code, slot("a")) == [["OSError(5,)"], ["OSError(5,)"], ["a"]]


DAMAGES = {
    "no index": lambda package: (package / "0.pack").unlink(),
    "empty index": lambda package: (package / "0.pack").write_bytes(b""),
    "index of zeros": lambda package: (package / "0.pack").write_bytes(bytes(128)),
    "no container": lambda package: (package / "1.pack").unlink(),
    "empty container": lambda package: (package / "1.pack").write_bytes(b""),
    "foreign container": lambda package: (package / "1.pack").write_text("<html>"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_after_a_slot_that_is_damaged_the_other_one_is_loaded(slot, run, damage):
    """As the selector does it, in one boot."""
    first, second = slot("a"), slot("b")
    DAMAGES[damage](first / "egiz_edge")
    code = f"""
for path in {[str(first), str(second)]!r}:
    sys.path[0] = path
    try:
        from egiz_edge.main import WHERE
        emit(WHERE)
    except Exception as error:
        emit(None)
        for name in [name for name in sys.modules if name.startswith("egiz_")]:
            del sys.modules[name]
{IMPORT_ALL}
"""
    found = run(code, first)
    assert found == [[None], ["b"], *[[name, "b"] for name in ALL]]


def test_the_same_modules_give_the_same_containers(slot, tmp_path):
    made = slot("a")
    shutil.move(made, tmp_path / "first")
    again = slot("a")
    for path in again.rglob("*.*"):
        same = tmp_path / "first" / path.relative_to(again)
        assert path.read_bytes() == same.read_bytes(), path


def test_every_module_of_the_firmware_is_in_a_container(run, tmp_path):
    """Imported one after another, as far as a board of no kind is needed for it."""
    stage(tmp_path / "slot")
    names = [path.removesuffix(".py").replace("/", ".") for path, _ in sources("host")]
    names = [name.removesuffix(".__init__") for name in names if name != "__init__"]
    names = [f"egiz_edge.{name}" for name in names]
    names += [f"egiz_schema.{name}" for name in ("topics", "limits", "orders")]
    code = f"""
class Machine:
    WDT = reset = None
sys.modules["machine"] = Machine()
for name in {names!r}:
    __import__(name)
emit(sorted(name for name in sys.modules if name in {names!r}))
"""
    assert run(code, tmp_path / "slot", heap="1m") == [[sorted(names)]]
