"""A new sink is one module and an entry in `sinks.TABLES`: nothing else knows of it."""

import importlib
from pathlib import Path

import pytest
from egiz_bridge import sinks
from egiz_bridge.batch import Batch, Message
from egiz_bridge.cli.check import results
from egiz_bridge.config import settings
from egiz_bridge.errors import ConfigError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.spool import Spool
from rig.waiting import eventually

PAYLOAD = b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1.5}}'


@pytest.fixture
def toy_sink(monkeypatch):
    """The module, in the list of sinks."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    module = importlib.import_module("toy_sink")
    monkeypatch.setattr(sinks, "TABLES", [*sinks.TABLES, module.ToyTable])
    monkeypatch.setattr(module, "STORED", [])
    return module


@pytest.fixture
def load(toy_sink, monkeypatch, tmp_path):
    """`load(text)`: the settings of a bridge that has the toy sink, too."""
    del toy_sink  # in the list
    monkeypatch.chdir(tmp_path)

    def load(text):
        (tmp_path / "bridge.toml").write_text(text)
        return settings.load(tmp_path / "bridge.toml")

    return load


def _written(loaded, tmp_path):
    """The counts of the sinks after one message was dispatched and is stored."""
    spool, ledger = Spool(tmp_path / "spool.sqlite", 1024**2), Ledger()
    dispatcher = Dispatcher(spool, ledger, lambda: None)
    dispatcher.configure(loaded.sinks())
    message = Message("sensors/factory/oven-001/telemetry", PAYLOAD, 1706352600_500)
    dispatcher.offer(Batch(0, rows=[to_row(message)], packet_ids=[7]))
    acknowledged = []
    eventually(lambda: acknowledged.extend(dispatcher.collect()) or acknowledged)
    dispatcher.stop(5)
    spool.close()
    assert [batch.packet_ids for batch in acknowledged] == [[7]]
    return ledger.snapshot().sinks


def test_it_is_configured_by_file_and_environment_and_has_help(load, monkeypatch):
    (table,) = load("[toy]\nshelf = 4\n").sinks()
    assert (table.sink_name, table.shelf) == ("toy", 4)
    monkeypatch.setenv("EGIZ_BRIDGE_TOY_SHELF", "5")
    assert load("[toy]\nshelf = 4\n").sinks()[0].shelf == 5
    keys = [key for key, _, _ in settings.described() if key.startswith("toy.")]
    assert keys == ["toy.kinds", "toy.facilities", "toy.shelf"]
    with pytest.raises(ConfigError, match=r"toy\.shelv: no such key; is toy\.shelf"):
        load("[toy]\nshelv = 4\n")


def test_check_probes_it_and_gives_its_words(load):
    def problem(text):
        (found,) = [r for r in results(load(text)) if r.key == "toy.shelf"]
        return found.problem

    assert problem("[toy]\n") is None
    assert problem("[toy]\nshelf = 13\n") == "there is no shelf 13"


def test_it_is_opened_and_written(toy_sink, load, tmp_path):
    counts = _written(load("[toy]\nshelf = 4\n"), tmp_path)
    assert counts["toy"].written == 1
    ((shelf, point),) = toy_sink.STORED
    assert (shelf, point.fields) == (4, {"thermal_setpoint": 1.5})


def test_its_outage_is_spooled(load, tmp_path):
    counts = _written(load("[toy]\nshelf = 13\n"), tmp_path)
    assert (counts["toy"].written, counts["toy"].spooled) == (0, 1)
    assert counts["toy"].trouble == "there is no shelf 13"
