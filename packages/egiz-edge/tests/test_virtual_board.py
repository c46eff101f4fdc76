"""The board's interface, as its firmware sees it, in the real interpreter."""

import contextlib
import shutil
import socket
import time

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge import slots
from egiz_edge_tools.bundle import stage
from egiz_edge_tools.hardware import (
    Hardware,
    Network,
    Thermocouple,
    Thermometer,
    rom,
)
from egiz_edge_tools.virtual_board import Identity, VirtualBoard
from rig.process import free_port
from rig.waiting import eventually


@pytest.fixture
def run(on_board):
    """A factory of boards with the same flash, and the given hardware."""
    return lambda code, **hardware: on_board(code, Hardware(**hardware))


def test_a_reboot_is_a_reset_that_was_ordered(run):
    running = run("emit(board.reset_cause())\nboard.reboot()\nemit('still here')")
    eventually(lambda: len(running.board.boots) >= 3)
    running.board.cut_power()
    assert running.ended()[:2] == [["power_on"], ["reboot"]]
    assert ["still here"] not in running.printed


def test_a_watchdog_that_is_not_fed_resets_a_busy_firmware(run):
    running = run(
        """
emit(board.reset_cause())
if board.reset_cause() == "power_on":
    board.watchdog.feed()
    while True:
        pass
""",
        watchdog_s=0.5,
    )
    assert running.ended() == [["power_on"], ["watchdog"]]
    assert running.board.boots == ["power_on", "watchdog"]


def test_a_watchdog_that_is_fed_or_was_never_armed_does_nothing(run):
    code = """
time.sleep(2.2)
for _ in range(25):
    board.watchdog.feed()
    time.sleep(0.1)
emit("alive")
"""
    running = run(code, watchdog_s=2)
    assert running.ended() == [["alive"]]
    assert running.board.boots == ["power_on"]


def test_what_is_stored_outlives_a_reset_and_a_power_cut(run):
    code = """
was = board.store.get("boots")
board.store.put("boots", str(int(was or 0) + 1))
board.store.put("key", " trailing space ")
emit(was, board.store.get("key"), board.store.get("nothing"))
if was is None:
    board.reboot()
"""
    kept = " trailing space "
    assert run(code).ended() == [[None, kept, None], ["1", kept, None]]
    assert run(code).ended() == [["2", kept, None]]


def test_a_reset_before_the_first_boot_is_known_is_not_lost(run, monkeypatch):
    boot = VirtualBoard._boot  # noqa: SLF001  # what a busy machine does slowly

    def slowly(board, cause):
        process = boot(board, cause)
        time.sleep(1)  # the board has ordered its reset by now
        return process

    monkeypatch.setattr(VirtualBoard, "_boot", slowly)
    code = """
was = board.store.get("boots")
board.store.put("boots", "1")
emit(was)
if was is None:
    board.reboot()
"""
    assert run(code).ended() == [[None], ["1"]]


def test_a_deleted_text_is_gone_and_may_be_deleted_again(run):
    code = """
board.store.put("key", "text")
for _ in range(2):
    board.store.delete("key")
    emit(board.store.get("key"))
"""
    assert run(code).ended() == [[None], [None]]


def test_a_text_that_flash_cannot_hold_is_refused_as_on_a_board(run):
    code = """
for key, text in (("sixteen_letters_", ""), ("key", "x" * 1025)):
    try:
        board.store.put(key, text)
        emit("kept")
    except ValueError:
        emit("refused")
with open(board.data_directory + "/file", "w") as file:
    emit(file.write("kept"))
"""
    assert run(code).ended() == [["refused"], ["refused"], [4]]


@pytest.fixture
def mute_port():
    """A port whose machine lets no connection come about, nor refuses one."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):  # more than its queue holds
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def test_a_machine_that_does_not_answer_leaves_no_socket_open(run, mute_port):
    code = f"""
import asyncio, socket
from egiz_edge import mqtt

mqtt.CONNECT_S = 0.05

def first_free():
    sock = socket.socket()
    number = sock.fileno()
    sock.close()
    return number

async def reasons():
    client = mqtt.MQTTClient("oven-001", "127.0.0.1", {mute_port})
    found = set()
    for _ in range(10):
        try:
            await client.connect()
        except OSError as error:
            found.add(str(error))
    return list(found)

before = first_free()
emit(asyncio.run(reasons()), first_free() - before)
"""
    assert run(code).ended() == [[["no CONNACK in time"], 0]]


@pytest.fixture
def ports(mosquitto):
    """Why no session over TLS comes about -> a port where that is so."""
    return {"refused": free_port(), "no TLS there": mosquitto.port}


@pytest.mark.parametrize("why", ["refused", "no TLS there"])
def test_a_handshake_that_fails_leaves_no_socket_open(run, ports, why):
    code = f"""
import asyncio, socket, ssl
from egiz_edge import mqtt
from egiz_edge.ota.fetch import Download

def first_free():
    sock = socket.socket()
    number = sock.fileno()
    sock.close()
    return number

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_NONE
port = {ports[why]}

async def address_of(host):
    return host

async def reasons():
    client = mqtt.MQTTClient("oven-001", "127.0.0.1", port)
    client.ssl = context
    found = []
    for _ in range(5):
        download = Download(address_of, lambda: context)
        try:
            await download.open("https://127.0.0.1:%d/1.egz" % port)
        except OSError as error:
            found.append(str(error))
        await download.close()
        try:
            await client.connect()
        except OSError as error:
            found.append(str(error))
    return len(found)

before = first_free()
emit(asyncio.run(reasons()), first_free() - before)
"""
    assert run(code).ended() == [[10, 0]]


def test_an_unset_clock_runs_from_the_year_2000_until_it_is_set(run):
    code = """
first = board.clock.now_ms()
emit(first // 86400000, board.clock.is_synced())
time.sleep(0.05)
emit(40 <= board.clock.now_ms() - first < 5000)
board.clock.set_ms(1732492800123)
emit(0 <= board.clock.now_ms() - 1732492800123 < 5000, board.clock.is_synced())
"""
    days_to_2000 = 10957
    expected = [[days_to_2000, False], [True], [True, True]]
    assert run(code, is_clock_set=False).ended() == expected
    assert run("emit(board.clock.is_synced())").ended() == [[True]]


_JOIN = """
async def join(ssid, password):
    if ssid:
        board.wifi.configure(ssid, password)
    try:
        await board.wifi.connect()
        emit(board.wifi.is_up(), board.wifi.ip(), board.wifi.rssi())
    except OSError as error:
        emit(str(error), board.wifi.is_up(), board.wifi.ip(), board.wifi.rssi())
"""


def test_a_network_is_joined_with_its_key_only(run):
    code = (
        _JOIN
        + """
for wanted in ((None, None), ("Nowhere", "k"), ("Factory", "x"), ("Factory", "key")):
    asyncio.run(join(*wanted))
"""
    )
    up = [True, "127.0.0.1", -61]
    assert run(code, networks={"Factory": Network("key")}, rssi=-61).ended() == [
        up,  # the host's own, where none is configured
        ["Wi-Fi: no network", False, None, None],
        ["Wi-Fi: wrong password", False, None, None],
        up,
    ]


def test_a_network_that_goes_is_not_rejoined_by_itself(run):
    code = (
        _JOIN
        + """
asyncio.run(join(None, None))
while board.wifi.is_up():
    time.sleep(0.01)
asyncio.run(join(None, None))
while not board.pins["running"].value():
    time.sleep(0.01)
emit(board.wifi.is_up())
asyncio.run(join(None, None))
"""
    )
    running = run(code)
    eventually(lambda: running.printed)
    world = running.board.hardware
    world.has_wifi = False
    running.board.put_world()
    eventually(lambda: len(running.printed) == 2)
    world.has_wifi, world.pins = True, {"running": 1}
    running.board.put_world()
    up = [True, "127.0.0.1", -60]
    down = ["Wi-Fi: no network", False, None, None]
    assert running.ended() == [up, down, [False], up]


def test_the_led_shows_which_board_it_is(run):
    running = run(
        "board.identify(True)\nemit(1)\nwhile not board.pins['button'].value():\n"
        "    time.sleep(0.01)\nboard.identify(False)\nemit(0)"
    )
    eventually(lambda: running.printed == [[1]])
    assert running.board.is_identified
    running.board.hardware.pins["button"] = 1
    running.board.put_world()
    assert running.ended() == [[1], [0]]
    assert not running.board.is_identified


def test_buses_carry_bytes_and_an_empty_spi_socket_reads_low(run):
    code = """
async def main():
    emit([rom.hex() for rom in await board.onewire.search()])
    for name, n in (("tc_0", 4), ("tc_1", 2)):
        emit((await board.spi.read(name, n)).hex())
asyncio.run(main())
"""
    running = run(
        code,
        thermometers={rom(0): Thermometer(), rom(1): Thermometer()},
        thermocouples={"tc_0": Thermocouple()},
    )
    assert running.ended() == [[[rom(0).hex(), rom(1).hex()]], ["01901900"], ["0000"]]


UNREACHABLE = Identity("factory", "oven-001", "127.0.0.1", 1)  # no broker there


@pytest.fixture
def boot(tmp_path, micropython):
    """A factory of boards with the same flash that run their main.py."""
    del micropython  # whether there is one
    made = []

    def boot(**hardware):
        if made:
            made[-1].cut_power()
            made[-1].close()
        made.append(VirtualBoard(UNREACHABLE, Hardware(**hardware), tmp_path))
        return made[-1]

    yield boot
    made[-1].cut_power()
    made[-1].close()


def _count_boots(flash):
    return int((flash / "store_boot").read_text())


def test_the_flash_is_kept_over_a_power_cut_and_firmware_comes_once(boot, tmp_path):
    for count in (1, 2):
        boot()
        eventually(lambda count=count: _count_boots(tmp_path) == count)
        assert not (tmp_path / "b").exists()
    assert slots.read(str(tmp_path)) == ("a", "-", 0, "by cable")


def test_other_firmware_goes_into_the_other_slot_and_what_came_by_air_stays(
    boot, tmp_path, monkeypatch
):
    boot()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    slots.write(str(tmp_path), "b", word="by air")
    boot()
    assert slots.read(str(tmp_path)) == ("b", "-", 0, "by air")

    def changed(directory, *_):
        stage(directory)
        (directory / "egiz_edge/page.html").unlink()

    monkeypatch.setattr(board_module, "stage", changed)
    boot()
    assert slots.read(str(tmp_path)) == ("a", "-", 0, "by cable")
    assert not (tmp_path / "a/egiz_edge/page.html").exists()
    assert (tmp_path / "b/egiz_edge/page.html").exists()


def test_a_version_that_hangs_while_it_is_loaded_is_reset_and_rolled_back(
    boot, tmp_path
):
    boot()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/egiz_edge/__init__.py").write_text("while True:\n    pass\n")
    slots.write(str(tmp_path), "a", "b", 1)
    before = _count_boots(tmp_path) if (tmp_path / "store_boot").exists() else 0
    running = boot(boot_watchdog_s=1)
    eventually(lambda: _count_boots(tmp_path) > before)  # a runs
    record = ("a", "-", 0, "rolled back: not confirmed")
    assert slots.read(str(tmp_path)) == record
    assert running.boots[:2] == ["power_on", "watchdog"]
