"""The decisions in docs/adr name modules that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# `egiz_bridge/mqtt/packets.py`, `egiz_bridge.mqtt.packets`, or any other .py file.
_MODULE = re.compile(r"`(egiz_\w+(?:[/.]\w+)*|\S+\.py)`")


def _is_module(name: str) -> bool:
    parts = name.removesuffix(".py").replace("/", ".").split(".")
    paths = [source.joinpath(*parts) for source in ROOT.glob("packages/*/src")]
    return any(
        path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
        for path in paths
    )


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("docs/adr/*.md")), ids=lambda path: path.stem
)
def test_every_module_that_a_decision_names_exists(path):
    named = [name for name in _MODULE.findall(path.read_text()) if name != ".py"]
    assert [name for name in named if not _is_module(name)] == []


def test_a_module_that_was_renamed_is_noticed():
    assert _is_module("egiz_edge/ticker.py")
    assert _is_module("egiz_edge.ports")
    assert not _is_module("egiz_edge/pace.py")
    assert not _is_module("ticker.py")
