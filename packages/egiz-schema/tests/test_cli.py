"""`egiz-schema`, as a person types it."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading

import egiz_cli
import pytest
from egiz_schema import cli, contract, documents, vectors
from egiz_schema.cli import text
from egiz_schema.documents import dictionary
from rig.documents import KINDS
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


def test_a_valid_message_ends_with_0():
    code, output, summary = _run("validate", "--topic", TELEMETRY, "--payload", GOOD)
    assert (code, output) == (0, "")
    assert summary == "1 read, 0 not of the contract\n"


def test_every_problem_of_a_message_is_printed_with_its_place(tmp_path):
    file = tmp_path / "reading.json"
    file.write_text(BAD)
    code, output, summary = _run("validate", "--topic", TELEMETRY, str(file))
    assert code == 1
    assert [line.split(": ")[1] for line in output.splitlines()] == [
        "range at $.timestamp",
        "type at $.thermal.setpoint",
    ]
    assert all(line.startswith(f"{file}: ") for line in output.splitlines())
    assert summary == "1 read, 1 not of the contract\n"


def test_what_mosquitto_sub_prints_is_read_line_by_line():
    lines = f"{TELEMETRY} {GOOD}\nsensors/x {GOOD}\n{TELEMETRY} {BAD}\n{TELEMETRY} \n"
    code, output, summary = _run("validate", stdin=lines)
    assert code == 1
    assert summary == "4 read, 3 not of the contract\n"
    assert [line.split(": ")[0] for line in output.splitlines()] == [
        "-:2",
        "-:3",
        "-:3",
        "-:4",
    ]
    assert "wrong_levels" in output
    assert "no_payload" in output


def test_a_payload_without_its_topic_names_the_missing_option(tmp_path):
    file = tmp_path / "reading.json"
    file.write_text(GOOD)
    code, _, error = _run("validate", str(file))
    assert code == 2
    assert f"{file}: a payload without its topic; add --topic" in error


def test_a_pretty_printed_payload_of_several_lines_is_one_message():
    pretty = json.dumps(json.loads(GOOD), indent=2)
    lines = f"{TELEMETRY} {pretty}\n{TELEMETRY} {BAD}\n{TELEMETRY} {pretty}\n"
    code, output, summary = _run("validate", stdin=lines)
    assert (code, summary) == (1, "3 read, 1 not of the contract\n")
    first_of_bad = len(pretty.splitlines()) + 1
    assert {line.split(": ")[0] for line in output.splitlines()} == {
        f"-:{first_of_bad}"
    }


def test_a_payload_that_was_cut_does_not_hide_the_next_message():
    lines = f"{TELEMETRY} {{\n{TELEMETRY} {GOOD}\n{TELEMETRY} {{"
    code, output, summary = _run("validate", stdin=lines)
    assert (code, summary) == (1, "3 read, 2 not of the contract\n")
    assert [line.split(": ")[0] for line in output.splitlines()] == ["-:1", "-:3"]


def test_completion_offers_commands_and_options(capsys):
    for shell in ("bash", "zsh"):
        code, output, _ = _main(capsys, "completion", shell)
        assert code == 0
        assert "gate" in output
        assert "--released" in output
        assert f"# To install: egiz-schema completion {shell} > " in output
    # At the first TAB, zsh runs the file itself, as the function.
    assert 'loadautofunc ]]; then _egiz_schema "$@"' in output


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("validate --t", "--topic"),
        ("v", "validate vectors"),
        ("--", "--help --version"),
        ("completion ''", "bash zsh"),
        ("gate --released ''", ""),  # files, by `complete -o default`
        ("validate ''", ""),
        ("nonsense --", "--help --version"),
    ],
)
def test_what_bash_offers(capsys, words, offered):
    script = _main(capsys, "completion", "bash")[1]
    ask = f"COMP_WORDS=(egiz-schema {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))"
    ask += '; _egiz_schema; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{offered}\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--help > /dev/full", 1),
        ("gate --help > /dev/full", 1),
        ("--version > /dev/full", 1),
        ("--help | true", 141),
        ("vectors 2> /dev/full", 0),
        ("topic x 2> /dev/full", 2),
        ("nonsense 2> /dev/full", 2),
    ],
)
def test_a_stream_that_cannot_be_written_has_its_code(line, code):
    program = f"PYTHONUNBUFFERED=1 {own_program('egiz-schema')}"  # as in containers
    command = f"{program} {line}\nexit ${{PIPESTATUS[0]}}"
    pipe = subprocess.PIPE
    done = subprocess.run(["bash", "-c", command], stderr=pipe, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert ("cannot write the output: No space left" in done.stderr) == (code == 1)
    assert "Traceback" not in done.stderr


def test_the_exit_codes_are_those_of_the_other_programs():
    assert text.MEANINGS == egiz_cli.MEANINGS


def test_what_readers_ignore_is_noted_and_valid():
    misspelled = GOOD.replace('"setpoint"', '"setpont":1,"setpoint"')
    code, output, _ = _run("validate", "--topic", TELEMETRY, "--payload", misspelled)
    assert code == 0
    assert output.startswith("payload: note at $.thermal.setpont: readers ignore it")


def test_a_payload_that_is_no_text_is_refused_with_its_reason():
    spoiled = b'{"device_id":"\xff"}'
    arguments = ("--topic", TELEMETRY, "--payload", spoiled)
    code, output, _ = _run("validate", *arguments)
    assert (code, output) == (1, "payload: not_utf8 at $: byte 14 is not UTF-8\n")


def test_a_reader_that_leaves_ends_it_silently():
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
    assert process.returncode == 141


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


_WITHOUT_PYDANTIC = """\
import sys
sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
from egiz_schema.cli import main, text
main(["validate", *sys.argv[1:]])
"""


def test_the_words_are_the_same_with_and_without_pydantic(tmp_path):
    """Byte for byte, of every vector."""
    traffic = tmp_path / "traffic"
    with traffic.open("wb") as file:
        for kind in KINDS:
            for vector in vectors.load(kind)[1]:
                payload = vectors.payload_of(vector)
                file.write(f"{vectors.topic_of(vector)} ".encode() + payload + b"\n")
    programs = (
        [own_program("egiz-schema"), "validate"],
        [sys.executable, "-c", _WITHOUT_PYDANTIC],
    )
    outputs = []
    for program in programs:
        done = subprocess.run([*program, traffic], capture_output=True, check=False)
        assert done.returncode == 1
        outputs.append((done.stdout, done.stderr))
    assert outputs[0] == outputs[1]
    assert outputs[0][0].count(b"\n") > 100


WRONG_ZONE = """{
  "device_id": "oven-001", "timestamp": 1706352600,
  "thermal": {"temperature_zones": [185.0, -999, 188.5], "setpont": 1}
}"""


def test_a_reading_that_readers_drop_is_named_as_such_and_counted_apart():
    lines = f"{TELEMETRY} {WRONG_ZONE}\n{TELEMETRY} {BAD}\n{TELEMETRY} {GOOD}\n"
    code, output, summary = _run("validate", stdin=lines)
    assert code == 1  # a writer should not need it
    assert summary == "3 read, 2 not of the contract, 1 of them repaired by readers\n"
    repaired, unknown = output.splitlines()[:2]
    assert repaired.startswith("-:1: repair at $.thermal.temperature_zones[1]: range: ")
    assert repaired.endswith("; readers drop it and keep the rest")
    assert unknown == (
        "-:1: note at $.thermal.setpont: readers ignore it; "
        "did you mean $.thermal.setpoint?"
    )
    assert not any("repair" in line for line in output.splitlines()[2:])


def test_a_group_that_readers_drop_for_what_it_lacks_is_named():
    birth = '{"device_id":"oven-001","state":"online","config":{"applied":true}}'
    topic = TELEMETRY.replace("telemetry", "status")
    output = _run("validate", "--topic", topic, "--payload", birth)[1]
    assert output == (
        "payload: repair at $.config.rev: missing: a required member must be there; "
        "readers drop $.config and keep the rest\n"
    )


def test_all_that_is_wrong_is_named_at_once_and_also_what_is_unknown():
    payload = (
        '{"device_id":"oven-002","timestmp":1,"seq":-1,"thermal":'
        '{"temperature_zones":["a",1,null,{}],"setpoint":true},"voltage":1,"x":2}'
    )
    output = _run("validate", "--topic", TELEMETRY, "--payload", payload)[1]
    heads = [
        line.removeprefix("payload: ").split(": ")[0] for line in output.splitlines()
    ]
    assert heads == [
        "device_mismatch at $.device_id",
        "range at $.seq",
        "type at $.thermal.temperature_zones[0]",
        "type at $.thermal.temperature_zones[3]",
        "type at $.thermal.setpoint",
        "missing at $.timestamp",
        "note at $.timestmp",
        "note at $.voltage",
        "note at $.x",
    ]


@pytest.mark.parametrize(
    ("kind", "member", "near"),
    [
        ("telemetry", '"Thermal":{}', "$.thermal"),
        ("telemetry", '"deviceId":"x"', "$.device_id"),
        ("telemetry", '"voltage":{}', "$.electrical.voltage"),
        ("telemetry", '"electrical":{"voltage":{"A":1}}', "$.electrical.voltage.a"),
        (
            "status",
            '"channels":{"room":{"quantity":"humidity","units":"%"}}',
            "$.channels.room.unit",
        ),
        ("config", '"sampling_rate":1000', "$.sampling_rate_ms"),
    ],
)
def test_a_misspelled_member_is_named_with_what_may_be_meant(kind, member, near):
    payload = f'{{"device_id":"oven-001",{member}}}'
    topic = TELEMETRY.replace("telemetry", kind)
    output = _run("validate", "--topic", topic, "--payload", payload)[1]
    assert f"readers ignore it; did you mean {near}?" in output


@pytest.mark.parametrize(
    ("arguments", "output"),
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
def test_wrong_usage_is_explained_and_exits_with_2(arguments, output, capsys):
    code, _, error = _main(capsys, *arguments)
    assert code == 2
    assert output in error


@pytest.mark.parametrize(
    "field",
    [
        "thermal.temperature_zones[]",
        "telemetry.thermal.temperature_zones[]",
        "thermal_temperature_zones_7",
    ],
)
def test_a_field_is_explained_by_any_of_its_names(field, capsys):
    code, output, _ = _main(capsys, "explain", field)
    assert code == 0
    assert output.startswith("telemetry.thermal.temperature_zones[]: ")
    assert "unit         Cel" in output
    assert "max          1800" in output


def test_a_field_of_several_messages_is_explained_for_each(capsys):
    output = _main(capsys, "explain", "boot")[1]
    assert "telemetry.boot: " in output
    assert "status.boot: " in output


@pytest.mark.parametrize("group", ["electrical", "telemetry.electrical"])
def test_a_group_lists_its_fields(group, capsys):
    output = _main(capsys, "explain", group)[1]
    of_group = [
        f"telemetry.{row['path']}"
        for row in dictionary.rows()
        if row["kind"] == "telemetry" and row["path"].startswith("electrical.")
    ]
    assert [line.split()[0] for line in output.splitlines()] == of_group


def test_a_part_of_a_name_lists_the_fields_and_quantities_that_have_it(capsys):
    def names(part):
        output = _main(capsys, "explain", part)[1]
        return [line.split()[0] for line in output.splitlines()]

    assert names("humid")[-1] == "humidity"
    assert names("rotat") == ["rotational_speed"]
    assert names("zones") == ["telemetry.thermal.temperature_zones[]", "config.zones.*"]
    assert names("Voltage")[:2] == [
        "telemetry.electrical.voltage.a",
        "telemetry.electrical.voltage.b",
    ]
    assert "status.last_command.id" in names("command")
    assert names("utf8") == ["not_utf8"]


def test_a_quantity_is_explained_with_its_unit_and_range(capsys):
    about_humidity = _main(capsys, "explain", "humidity")[1].splitlines()[-1]
    assert about_humidity.split(maxsplit=1) == [
        "humidity",
        "a quantity of channels, in %, 0 to 100; Home Assistant: humidity",
    ]
    assert "true or false" in _main(capsys, "explain", "door")[1]


def test_without_a_name_all_fields_are_listed(capsys):
    output = _main(capsys, "explain")[1].splitlines()
    assert len(output) == len(dictionary.rows())


def test_an_open_set_is_explained_with_what_is_known_of_it(capsys):
    output = _main(capsys, "explain", "status_operational_state")[1]
    assert "known        running stopped fault" in output
    assert "max_length   64" in output


def test_a_topic_is_split_and_built():
    code, output, _ = _run("topic", "sensors/factory/heat-pump-01/status")
    assert code == 0
    assert dict(line.split() for line in output.splitlines()) == {
        "facility": "factory",
        "device_id": "heat-pump-01",
        "device_type": "heat-pump",
        "unit": "01",
        "kind": "status",
    }
    assert _run("topic", "factory", "oven-001", "config")[1] == (
        "sensors/factory/oven-001/config\n"
    )


def test_a_payload_that_never_ends_is_read_in_time_that_grows_with_its_size(tmp_path):
    path = tmp_path / "messages"
    lines = ' "a": 1,\n' * 1_000_000
    path.write_text("sensors/factory/oven-001/telemetry {\n" + lines)
    code, output, summary = _run("validate", str(path))
    assert (code, summary) == (1, "1 read, 1 not of the contract\n")
    assert "too_large" in output


def test_one_command_writes_all_documents(tmp_path):
    code, output, _ = _run("generate", "--directory", str(tmp_path))
    assert code == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == documents.render()
    assert len(output.splitlines()) == len(written)


def test_the_gate_is_open_today_and_prints_what_would_break(tmp_path):
    assert _run("gate")[:2] == (0, "")
    released = contract.describe()
    released["messages"]["telemetry"]["fields"]["thermal.setpoint"]["maximum"] = 2000
    older = tmp_path / "v1.json"
    older.write_text(json.dumps(released))
    code, output, _ = _run("gate", "--released", str(older))
    assert code == 1
    breach = "BOUND_NOT_NARROWED telemetry.thermal.setpoint.maximum 2000 1800"
    assert output.split() == breach.split()


@pytest.mark.parametrize("text", ["{}", "[]", "[" * 100_000])
def test_a_file_that_is_no_released_contract_is_wrong_usage(tmp_path, text):
    (tmp_path / "v1.json").write_text(text)
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
    count, rest = summary.split(maxsplit=1)
    assert (int(count) > 400, rest) == (True, "vectors, 0 mismatches\n")
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
        ("vectors", "import egiz_schema.vectors"),
    ],
)
def test_help_teaches(command, example, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    output = capsys.readouterr().out
    assert example in output
    assert "Exit codes:\n  0    " in output
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert f"    {command} " in capsys.readouterr().out


def _limited(*arguments, **options):
    """`egiz-schema`, with less memory than the file that it is given has bytes."""
    line = (
        f"ulimit -v 2000000; exec {own_program('egiz-schema')} {shlex.join(arguments)}"
    )
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, **options
    )


def test_a_huge_file_needs_no_memory_and_the_message_after_it_is_read(tmp_path):
    huge = tmp_path / "huge"
    huge.touch()
    os.truncate(huge, 3_000_000_000)
    done = _limited("validate", "--topic", TELEMETRY, str(huge))
    assert (done.returncode, done.stdout.count("too_large")) == (1, 1)
    done = _limited("gate", "--released", "/dev/zero")
    assert done.returncode == 2
    assert "/dev/zero: not a released contract: it is too large" in done.stderr
    long = f"{TELEMETRY} {'x' * 1_000_000}\n{TELEMETRY} {BAD}\n"
    done = _limited("validate", input=long)
    assert done.stdout.splitlines()[0].startswith("-:1: too_large")
    assert done.stdout.splitlines()[1].startswith("-:2: ")
    assert "2 read, 2 not of the contract" in done.stderr


def test_a_name_with_control_characters_forges_no_line():
    name = "\\u001b[31mred\\nsensors/factory/oven-001/telemetry: all fine\\u0085"
    payload = GOOD[:-1] + f',"{name}":1}}'
    _, output, _ = _run("validate", "--topic", TELEMETRY, "--payload", payload)
    (line,) = output.splitlines()
    assert r"\x1b[31mred\nsensors" in line
    assert line.isprintable()


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "\x1b[2J"),
        ("validate", "--topic", "\x1b[2J", "--payload", "{}"),
        ("gate", "--released", "\x1b[2J"),
        ("explain", "\x1b[2J"),
        ("\x1b[2J",),
        ("topic", "a", "--\x1b[2J"),
    ],
    ids=lambda arguments: arguments[0].strip("\x1b"),
)
def test_no_name_that_an_error_has_reaches_the_terminal_as_a_command(arguments):
    code, _, errors = _run(*arguments)
    assert code == 2
    assert errors.replace("\n", "").isprintable(), errors


def test_each_wrong_value_is_named_as_the_part_that_readers_drop():
    payload = GOOD[:-1] + ',"values":{"a":"x","ab":"y"}}'
    _, output, _ = _run("validate", "--topic", TELEMETRY, "--payload", payload)
    first, second = output.splitlines()
    assert "repair at $.values.a:" in first
    assert "repair at $.values.ab:" in second
    assert "$.values.a;" not in second
