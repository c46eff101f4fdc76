"""`umqtt.simple`, of which safe mode is made: a board has it built in.

It is not part of this package and is not downloaded: who wants safe mode on a virtual
board installs it with MicroPython's own installer.
"""

import os
import shlex
import shutil
from pathlib import Path

from egiz_edge_tools.virtual_board import find_interpreter

_FILES = ("umqtt/simple.py", "umqtt/simple.mpy")  # in the order of an import


def installed() -> Path | None:
    """Its file, where the installer puts it."""
    home = os.environ.get("HOME")  # all that MicroPython looks at
    return _file_in(Path(home, ".micropython/lib")) if home else None


def put(directory: Path) -> bool:
    """Bring it into a flash, unless it is there; False where it is not installed."""
    lib = directory / "lib"
    if _file_in(lib):
        return True
    file = installed()
    if file is None:
        return False
    (lib / "umqtt").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, lib / "umqtt" / file.name)
    return True


def how_to_install() -> str:
    """The command for it; raises NoInterpreterError."""
    interpreter = find_interpreter()
    is_on_path = shutil.which("micropython") == interpreter
    name = "micropython" if is_on_path else shlex.quote(interpreter)
    return f"{name} -m mip install umqtt.simple"


def _file_in(lib: Path) -> Path | None:
    # Also false for a home that is another's, as that of root after `setpriv`.
    return next((lib / name for name in _FILES if os.access(lib / name, os.R_OK)), None)
