"""`egiz-schema`, as a person types it."""

import contextlib
import json
import signal
import subprocess
import sys
import threading

import pytest
from egiz_schema import cli, contract, documents
from egiz_schema.documents import dictionary
from rig.process import own_program

TELEMETRY = "sensors/factory/oven-001/telemetry"
GOOD = '{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":190.0}}'
BAD = '{"device_id":"oven-001","timestamp":5,"thermal":{"setpoint":"warm"}}'


def _run(*arguments, stdin="", env=None):
    done = subprocess.run(
        [own_program("egiz-schema"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def _main(capsys, *arguments):
    """The same without a process of its own, which takes most of the time."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return (ended.value.code, *capsys.readouterr())


def test_a_good_message_is_said_to_be_so():
    code, told, summary = _run("validate", "--topic", TELEMETRY, "--payload", GOOD)
    assert (code, told) == (0, "")
    assert summary == "1 read, 0 not of the contract\n"


def test_every_problem_of_a_message_is_told_with_its_place(tmp_path):
    file = tmp_path / "reading.json"
    file.write_text(BAD)
    code, told, summary = _run("validate", "--topic", TELEMETRY, str(file))
    assert code == 1
    assert [line.split(": ")[1] for line in told.splitlines()] == [
        "range at $.timestamp",
        "type at $.thermal.setpoint",
    ]
    assert all(line.startswith(f"{file}: ") for line in told.splitlines())
    assert summary == "1 read, 1 not of the contract\n"


def test_what_mosquitto_sub_prints_is_read_line_by_line():
    lines = f"{TELEMETRY} {GOOD}\nsensors/x {GOOD}\n{TELEMETRY} {BAD}\n{TELEMETRY} \n"
    code, told, summary = _run("validate", stdin=lines)
    assert code == 1
    assert summary == "4 read, 3 not of the contract\n"
    assert [line.split(": ")[0] for line in told.splitlines()] == [
        "-:2",
        "-:3",
        "-:3",
        "-:4",
    ]
    assert "wrong_levels" in told
    assert "no_payload" in told


def test_a_payload_without_its_topic_is_told_what_it_lacks(tmp_path):
    file = tmp_path / "reading.json"
    file.write_text(GOOD)
    code, _, error = _run("validate", str(file))
    assert code == 2
    assert f"{file}: a payload without its topic; add --topic" in error


def test_what_readers_ignore_is_noted_and_no_fault():
    misspelled = GOOD.replace('"setpoint"', '"setpont":1,"setpoint"')
    code, told, _ = _run("validate", "--topic", TELEMETRY, "--payload", misspelled)
    assert code == 0
    assert told.startswith("payload: note at $.thermal.setpont: readers ignore it")


def test_a_payload_that_is_no_text_is_refused_with_its_reason():
    spoiled = b'{"device_id":"\xff"}'
    arguments = ("--topic", TELEMETRY, "--payload", spoiled)
    code, told, _ = _run("validate", *arguments)
    assert (code, told) == (1, "payload: not_utf8 at $: byte 14 is not UTF-8\n")


def test_who_reads_one_line_only_hears_no_complaint():
    """As in `egiz-schema validate | head -1`."""
    lines = "x y\n" * 20_000
    command = [own_program("egiz-schema"), "validate"]
    with subprocess.Popen(
        command, stdin=-1, stdout=-1, stderr=-1, text=True
    ) as process:
        writer = threading.Thread(target=_feed, args=(process.stdin, lines))
        writer.start()
        assert process.stdout.readline().startswith("-:1: wrong_root")
        process.stdout.close()
        assert process.stderr.read() == ""
        writer.join()
    assert process.returncode == 1


def _feed(pipe, text):
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(text)


def test_ctrl_c_ends_live_traffic_with_what_was_found():
    command = [own_program("egiz-schema"), "validate"]
    # Tests that run in the background ignore it, and so would what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        process.stdin.write("x y\n")
        process.stdin.flush()
        assert process.stdout.readline()  # live: not when its buffer is full
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "1 read, 1 not of the contract\n"
        process.stdin.close()
    assert process.returncode == 1


def test_without_pydantic_the_first_problem_is_told(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "egiz_schema.models", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate", "--topic", TELEMETRY, "--payload", BAD])
    assert ended.value.code == 1
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["validate", "--topic", "sensors/x", "-"], "there must be four levels"),
        (["validate", "--payload", "{}"], "--payload needs --topic"),
        (["validate", documents.__file__, "/tmp"], "Is a directory"),
        (["validate", "/nowhere.json"], "No such file"),
        (["explain", "electrical.voltag.a"], "did you mean electrical.voltage.a"),
        (["explain", "zzz"], "no field 'zzz'"),
        (["topic", "a", "b"], "FACILITY DEVICE_ID KIND"),
        (["topic", "factory", "oven", "telemetry"], "a device id is type-unit"),
        (["gate", "--released", "/nowhere.json"], "No such file"),
        (["frobnicate"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(arguments, told, capsys):
    code, _, error = _main(capsys, *arguments)
    assert code == 2
    assert told in error


@pytest.mark.parametrize(
    "field",
    [
        "thermal.temperature_zones[]",
        "telemetry.thermal.temperature_zones[]",
        "thermal_temperature_zones_7",
    ],
)
def test_a_field_is_explained_by_any_of_its_names(field, capsys):
    code, told, _ = _main(capsys, "explain", field)
    assert code == 0
    assert told.startswith("telemetry.thermal.temperature_zones[]: ")
    assert "unit         Cel" in told
    assert "max          1800" in told


def test_a_field_of_several_messages_is_explained_for_each(capsys):
    told = _main(capsys, "explain", "boot")[1]
    assert "telemetry.boot: " in told
    assert "status.boot: " in told


@pytest.mark.parametrize("group", ["thermal", "telemetry.thermal"])
def test_a_group_tells_its_fields(group, capsys):
    told = _main(capsys, "explain", group)[1]
    assert [line.split()[0] for line in told.splitlines()] == [
        "telemetry.thermal.temperature_zones[]",
        "telemetry.thermal.setpoint",
    ]


def test_without_a_name_all_fields_are_told(capsys):
    told = _main(capsys, "explain")[1].splitlines()
    assert len(told) == len(dictionary.rows())


def test_an_open_set_is_explained_with_what_is_known_of_it(capsys):
    told = _main(capsys, "explain", "status_operational_state")[1]
    assert "known        running stopped fault" in told
    assert "max_length   64" in told


def test_a_topic_is_taken_apart_and_built():
    code, told, _ = _run("topic", "sensors/factory/heat-pump-01/status")
    assert code == 0
    assert dict(line.split() for line in told.splitlines()) == {
        "facility": "factory",
        "device_id": "heat-pump-01",
        "device_type": "heat-pump",
        "unit": "01",
        "kind": "status",
    }
    assert _run("topic", "factory", "oven-001", "config")[1] == (
        "sensors/factory/oven-001/config\n"
    )


def test_one_command_writes_all_documents(tmp_path):
    code, told, _ = _run("generate", "--directory", str(tmp_path))
    assert code == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == documents.render()
    assert len(told.splitlines()) == len(written)


def test_the_gate_is_open_today_and_tells_what_would_break(tmp_path):
    assert _run("gate")[:2] == (0, "")
    released = json.loads(contract.RELEASED.read_text())
    released["messages"]["telemetry"]["fields"]["thermal.setpoint"]["maximum"] = 2000
    older = tmp_path / "v1.json"
    older.write_text(json.dumps(released))
    code, told, _ = _run("gate", "--released", str(older))
    assert code == 1
    breach = "BOUND_NOT_NARROWED telemetry.thermal.setpoint.maximum 2000 1800"
    assert told.split() == breach.split()


def test_a_file_that_is_no_released_contract_is_wrong_usage(tmp_path):
    (tmp_path / "v1.json").write_text("{}")
    code, _, error = _run("gate", "--released", str(tmp_path / "v1.json"))
    assert code == 2
    assert "v1.json: not a released contract" in error


def test_an_allowance_without_a_reason_is_wrong_usage(tmp_path):
    (tmp_path / "v1.json").write_text("{}")
    (tmp_path / "allow.toml").write_text('[[allow]]\nrule = "X"\npath = "y"\n')
    code, _, error = _run("gate", "--released", str(tmp_path / "v1.json"))
    assert code == 2
    assert "missing required field `reason`" in error


def test_the_vectors_hold_and_their_rules_are_listed():
    code, _, summary = _run("vectors")
    assert code == 0
    assert summary == "361 vectors, 0 mismatches\n"
    rules = _run("vectors", "--list")[1].splitlines()
    assert len(rules) > 30
    assert any(rule.startswith("WIRE-5") for rule in rules)


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("validate", "mosquitto_sub -v -t 'sensors/#' | egiz-schema validate"),
        ("explain", "egiz-schema explain electrical.voltage.a"),
        ("topic", "egiz-schema topic sensors/factory/heat-pump-01/status"),
        ("generate", "egiz-schema generate --directory contract"),
        ("gate", "RULE path old new"),
        ("vectors", "importlib.resources"),
    ],
)
def test_help_teaches(command, example, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert example in told
    assert "Exit codes: 0" in told
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert f"    {command} " in capsys.readouterr().out
