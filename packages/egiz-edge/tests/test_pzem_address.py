"""`egiz-edge pzem-address`, with meters that speak Modbus behind a pseudo-terminal."""

import pytest
import serial
from click.testing import CliRunner
from egiz_edge_tools.buses import Buses
from egiz_edge_tools.cli import main
from egiz_edge_tools.hardware import Hardware, Meter, Trouble


@pytest.fixture(params=[False, True], ids=["", "echo"])
def hardware(request):
    return Hardware(meters={1: Meter(watt_hours=7)}, is_echoing=request.param)


@pytest.fixture
def port(hardware, tmp_path):
    buses = Buses(hardware, tmp_path, lambda _: None)
    yield str(tmp_path / "uart")
    buses.close()


def address(port, *arguments, answer=None):
    """(exit code, output)"""
    done = CliRunner().invoke(
        main, ["pzem-address", "--port", port, *arguments], input=answer
    )
    assert "Traceback" not in done.output
    return done.exit_code, done.output.replace(port, "PORT")


def test_a_meter_gets_its_address_after_a_question(port, hardware):
    code, output = address(port, "3", answer="y\n")
    assert code == 0, output
    assert output == (
        "PORT: a meter answers at address 1\n"
        "Change 1 to 3? [y/N]: y\n"
        "it answers at 3 now; write that on it\n"
    )
    assert {at: m.watt_hours for at, m in hardware.meters.items()} == {3: 7}


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_written(port, hardware, answer):
    code, output = address(port, "3", answer=answer)
    assert code == 1
    assert "nothing was changed" in output
    assert set(hardware.meters) == {1}


def test_a_dry_run_writes_nothing(port, hardware):
    code, output = address(port, "3", "--dry-run")
    assert code == 0
    assert "dry run: 1 would become 3; nothing is written" in output
    assert set(hardware.meters) == {1}


def test_with_yes_there_is_no_question(port, hardware):
    assert address(port, "2", "--yes")[0] == 0
    assert set(hardware.meters) == {2}


def test_a_meter_that_has_the_address_already_is_not_written(port, hardware):
    hardware.meters[1].is_write_protected = True
    code, output = address(port, "1")
    assert code == 0
    assert "it has this address already; nothing is written" in output


def test_two_meters_on_the_bus_are_noticed(port, hardware):
    hardware.meters[2] = Meter()
    code, output = address(port, "3", "--yes")
    assert code == 1
    assert "PORT: what answers is not one meter\n  Connect one meter only" in output
    assert set(hardware.meters) == {1, 2}


def test_one_of_several_meters_is_selected_by_its_current_address(port, hardware):
    hardware.meters[2] = Meter()
    assert address(port, "3", "--current", "2", "--yes")[0] == 0
    assert set(hardware.meters) == {1, 3}


def test_an_address_that_another_meter_has_is_refused(port, hardware):
    hardware.meters[2] = Meter()
    code, output = address(port, "2", "--current", "1", "--yes")
    assert code == 1
    assert "PORT: another meter answers at 2" in output
    assert set(hardware.meters) == {1, 2}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (Trouble.SILENT, "no meter answers\n  It needs mains at L and N"),
        (Trouble.GARBLED, "what answers is not one meter"),
    ],
)
def test_a_silent_or_damaged_answer_is_explained(port, hardware, trouble, reason):
    hardware.meters[1].trouble = trouble
    code, output = address(port, "2", "--yes")
    assert code == 1
    assert f"Error: PORT: {reason}" in output


def test_a_meter_that_keeps_its_old_address_is_an_error(port, hardware):
    hardware.meters[1].is_write_protected = True
    code, output = address(port, "2", "--yes")
    assert code == 1
    assert "answers at 2 now" not in output
    assert set(hardware.meters) == {1}


def test_a_plain_file_is_no_port(tmp_path):
    file = tmp_path / "file"
    file.touch()
    code, output = address(str(file), "2")
    assert code == 1
    assert output.startswith("Error: PORT: it is no serial port, but a file")


def test_a_port_that_is_in_use_or_missing_is_explained(port):
    code, output = address("/dev/ttyEGIZ9", "2")
    assert (code, "there is no such port" in output) == (1, True)
    with serial.Serial(port, exclusive=True):
        code, output = address(port, "2")
    assert code == 1
    assert "PORT: another program has it open\n  Close it" in output


@pytest.mark.parametrize("wrong", ["0", "248", "x"])
def test_an_address_that_a_meter_cannot_have_is_wrong_usage(port, wrong):
    assert address(port, wrong)[0] == 2
