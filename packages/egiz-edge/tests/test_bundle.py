"""The bundle: what the device gets."""

import ast
import hashlib
from importlib.resources import files
from pathlib import Path

import egiz_edge_tools.bundle as bundle_module
import pytest
from egiz_edge.report import FIRMWARE_VERSION
from egiz_edge_tools.bundle import (
    ARCHITECTURES,
    RELEASE,
    SELECTOR,
    SLOT,
    Bundle,
    build,
    load,
    selector,
    sources,
    stage_modules,
    unpack,
)
from egiz_edge_tools.errors import BundleError
from egiz_edge_tools.release import make

PACKAGES = {"egiz_edge", "egiz_schema"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    directory = tmp_path_factory.mktemp("work") / "bundle"
    build(directory)
    return directory


def _content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


# What the portal reads: its page, and the texts of each language.
PAGE = ("page.html", "texts_de.txt", "texts_en.txt")


# Packages without a line of code have no file.
WITHOUT_CODE = {"egiz_edge/ota/__init__.py", "egiz_edge/portal/__init__.py"}


def test_every_source_file_is_compiled_and_nothing_else_is_there(tmp_path):
    stage_modules(tmp_path, "xtensawin")
    found = {f"egiz_edge/{path}" for path, _ in sources("xtensawin")} - WITHOUT_CODE
    firmware = {path.replace(".py", ".mpy") for path in found}
    contract = {f"egiz_schema/{name}.mpy" for name in ("topics", "limits", "orders")}
    others = {"egiz_schema/__init__.py", *(f"egiz_edge/portal/{name}" for name in PAGE)}
    assert set(_content(tmp_path)) == firmware | contract | others
    assert "egiz_edge/drivers/pzem.mpy" in firmware


def test_a_slot_has_containers_page_and_texts_in_two_directories(bundle):
    content = _content(bundle)
    packs = {path for path in content if path.endswith(".pack")}
    own = {f"slot/egiz_edge/{name}" for name in ("__init__.mpy", *PAGE)}
    others = {"slot/egiz_schema/__init__.mpy", "slot/release", "main.py"}
    assert set(content) == packs | own | others
    assert packs == {f"slot/egiz_edge/{number}.pack" for number in range(len(packs))}
    assert content["main.py"] == selector()


def test_no_container_has_more_than_a_block_where_its_modules_have_less(bundle):
    sizes = [path.stat().st_size for path in bundle.rglob("*.pack")]
    assert max(sizes) <= 4096
    assert sum(sizes) > 0.95 * 4096 * (len(sizes) - 1)  # beside the index


def _imported(code):
    """Modules that a source file imports, each as `package/module`."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.replace(".", "/")
            for alias in node.names:
                yield f"{node.module}.{alias.name}".replace(".", "/")


# What a driver of another quantity loads; none that is here does.
FOR_OTHER_DRIVERS = {"egiz_edge/channels"}


def _source(name):
    """The file of a module of ours, or None."""
    package, _, path = name.partition("/")
    if package not in PACKAGES or not path:
        return None
    own = files(package)
    candidates = (own / f"{path}.py", own / path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _importable(start, other_port):
    """The modules that `start` can import, directly or through others, and itself."""
    found, new = set(), {start}
    while new:
        name = new.pop()
        found.add(name)
        imported = set(_imported(_source(name).read_text())) - {other_port}
        new |= {other for other in imported if _source(other)} - found
    return found


@pytest.mark.parametrize(
    ("arch", "other_port"),
    [(arch, "egiz_edge/ports/virtual") for arch in ARCHITECTURES if arch != "host"]
    + [("host", "egiz_edge/ports/esp32")],
)
def test_a_bundle_has_the_modules_that_main_can_import_and_no_others(
    tmp_path, arch, other_port
):
    stage_modules(tmp_path, arch)
    staged = {
        path.relative_to(tmp_path).with_suffix("").as_posix().removesuffix("/__init__")
        for path in tmp_path.rglob("*.*py")
    }
    reached = _importable("egiz_edge/main", other_port)
    without_code = {path.removesuffix("/__init__.py") for path in WITHOUT_CODE}
    assert staged | without_code == reached | PACKAGES | FOR_OTHER_DRIVERS


def test_the_release_file_has_size_and_hash_of_every_file(bundle):
    lines = (bundle / SLOT / RELEASE).read_text().splitlines()
    content = _content(bundle / SLOT)
    del content[RELEASE]
    described = [
        f"{path} {len(data)} {hashlib.sha256(data).hexdigest()}"
        for path, data in sorted(content.items())
    ]
    assert lines[lines.index("") + 1 :] == described
    assert {f"version {FIRMWARE_VERSION}", "target esp32", "boot 1"} < set(lines)
    assert "mpy 6 0" in lines  # no native code: runs on every architecture


def test_a_release_becomes_the_same_bundle(bundle, tmp_path):
    (tmp_path / "1.egz").write_bytes(make().signed())
    (tmp_path / "unpacked").mkdir()
    unpack(tmp_path / "1.egz", tmp_path / "unpacked")
    assert _content(tmp_path / "unpacked") == _content(bundle)


def test_a_bundle_needs_less_than_128_kb_of_flash(bundle):
    # Of some 2,000,000; 24 KB are the portal, 9 KB of it page and texts; 6 KB are the
    # orders of a configuration and of safe mode.
    assert 20_000 < load(bundle).size < 128_000


def test_the_same_sources_give_the_same_bytes(bundle, tmp_path):
    build(tmp_path / "elsewhere" / "bundle")
    assert _content(tmp_path / "elsewhere" / "bundle") == _content(bundle)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_it_can_be_built_for_each_architecture_over_an_older_one(tmp_path, arch):
    (tmp_path / SLOT).mkdir()
    (tmp_path / SLOT / RELEASE).touch()
    (tmp_path / SLOT / "app.py").touch()  # an .mpy would not be seen beside it
    target = "linux" if arch == "host" else "esp32"
    assert build(tmp_path, arch).target == target
    assert load(tmp_path).target == target
    assert not (tmp_path / SLOT / "app.py").exists()


def test_a_directory_with_other_files_is_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match="not a bundle"):
        build(tmp_path)
    assert _content(tmp_path) == {"thesis.txt": b"years"}


@pytest.mark.parametrize("code", ["match x:\n    case 1: pass\n", "def (:\n"])
def test_a_file_that_does_not_compile_is_named(tmp_path, monkeypatch, code):
    package = tmp_path / "package"
    package.mkdir()
    (package / "broken.py").write_text(code)
    (package / "limits.py").touch()  # of the contract, which is read first
    (package / "topics.py").touch()
    (package / "orders.py").touch()
    monkeypatch.setattr(bundle_module, "files", lambda _: package)
    monkeypatch.setattr(bundle_module, "_OF_LITERALS", ())
    with pytest.raises(BundleError, match="broken"):
        build(tmp_path / "bundle")


def _change(directory):
    (directory / "slot/egiz_edge/1.pack").write_bytes(b"M")


def _remove(directory):
    (directory / "slot/egiz_edge/1.pack").unlink()


def _remove_release(directory):
    (directory / SLOT / RELEASE).unlink()


def _remove_selector(directory):
    (directory / SELECTOR).unlink()


def _garble(directory):
    (directory / SLOT / RELEASE).write_text("egz1 - 0 7\negiz 1\n")


def _lead_out(directory):
    release = directory / SLOT / RELEASE
    changed = release.read_bytes().replace(b"egiz_edge/1.pack", b"../../edge/1.pac")
    release.write_bytes(changed)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_change, "1.pack: not what release says"),
        (_remove, "1.pack: not what release says"),
        (_remove_release, "make a bundle with `egiz-edge build`"),
        (_remove_selector, "main.py: missing; build the bundle again"),
        (_garble, "release: manifest is damaged; build it again"),
        (_lead_out, "line [0-9]+: no file of a slot"),
    ],
)
def test_a_bundle_that_differs_from_its_release_file_is_refused(
    tmp_path, damage, reason
):
    build(tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=reason):
        load(tmp_path)


@pytest.mark.parametrize(
    ("mpy", "interpreter", "runs"),
    [
        ((6, 0), 6 | 0x2B << 8, True),  # bytecode on any machine
        ((6, 0), 5, False),
        ((6, 0x2B), 6 | 0x2B << 8, True),  # native code of the machine's own kind
        ((6, 0x2B), 6 | 0x0B << 8, False),
    ],
)
def test_runs_on_compares_bytecode_and_architecture(mpy, interpreter, runs):
    assert Bundle(Path(), "0.1.0", "esp32", mpy, ()).runs_on(interpreter) is runs
