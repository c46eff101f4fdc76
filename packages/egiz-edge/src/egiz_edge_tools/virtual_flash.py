"""The flash of a virtual board: a directory, into which firmware comes as by cable."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from egiz_edge import slots

from egiz_edge_tools import __version__
from egiz_edge_tools.bundle import RELEASE, SELECTOR, selector
from egiz_edge_tools.packing import pack

_INSTALLED = "installed"  # SHA-256 of what came by cable last
_STAGE = ".deploy"
_OLD = ("egiz_edge", "egiz_schema")  # in lib, before there were slots


def install(directory: Path, stage: Callable[[Path], None]) -> None:
    """Bring firmware into the slot that does not run, unless that was done before.

    So a version that came over the air stays, until another one comes by cable.

    Args:
        directory: the flash.
        stage: writes the firmware into a directory.
    """
    new = directory / _STAGE
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    stage(new)
    head = pack(new, __version__, "linux").head()
    digest = hashlib.sha256(head).hexdigest()
    running, installed = running_slot(directory), directory / _INSTALLED
    (directory / SELECTOR).write_bytes(selector())
    if running and installed.is_file() and installed.read_text() == digest:
        shutil.rmtree(new)
        return
    slot = "b" if running == "a" else "a"
    shutil.rmtree(directory / slot, ignore_errors=True)
    new.rename(directory / slot)
    (directory / slot / RELEASE).write_bytes(head)
    if running:  # the crashes until now were not this version's
        (directory / "data/boots").unlink(missing_ok=True)
    slots.write(str(directory), slot, word="by cable")  # type: ignore[no-untyped-call]  # of the device
    installed.write_text(digest)
    for name in _OLD:
        shutil.rmtree(directory / "lib" / name, ignore_errors=True)


def running_slot(directory: Path) -> str | None:
    """The slot that runs, as the selector chooses it; without a trial."""
    record = slots.read(str(directory))  # type: ignore[no-untyped-call]  # as above
    named = [record[0]] if record else []
    whole = [one for one in "ab" if (directory / one / RELEASE).is_file()]
    return next((one for one in [*named, *whole] if one in whole), None)
