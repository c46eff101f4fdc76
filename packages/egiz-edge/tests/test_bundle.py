"""The bundle: what the device gets."""

import egiz_edge_tools.bundle as bundle_module
import pytest
from egiz_edge_tools.bundle import BundleError, sources, stage


def test_every_source_file_is_compiled(tmp_path):
    stage(tmp_path)
    staged = {
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    firmware = {"egiz_edge/" + name.replace(".py", ".mpy") for name, _ in sources()}
    shared = ("topics.mpy", "limits.mpy", "orders.mpy")
    contract = {f"egiz_schema/{name}" for name in shared}
    assert staged == firmware | contract | {"egiz_schema/__init__.py"}
    assert "egiz_edge/drivers/pzem.mpy" in staged


def test_the_compiled_firmware_is_small(tmp_path):
    stage(tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.mpy"))
    assert 5_000 < size < 40_000  # bytes; a file system of the board has 2 MB


def test_a_file_that_does_not_compile_is_named(tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "broken.py").write_text("match x:\n    case 1: pass\n")
    monkeypatch.setattr(bundle_module, "files", lambda _: package)
    with pytest.raises(BundleError, match="broken"):
        stage(tmp_path / "staged")
