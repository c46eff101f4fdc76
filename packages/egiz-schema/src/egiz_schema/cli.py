"""The command `egiz-schema`: the contract, for people and for scripts."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from egiz_schema.address import Topic, parse_topic
from egiz_schema.codec import decode, unknown_fields
from egiz_schema.errors import DecodeError, TopicError

EXIT_INVALID = 1
EXIT_USAGE = 2

_DESCRIPTION = """\
The contract of OpenEgiz: topics, payloads, limits, documents.

  egiz-schema validate --topic sensors/factory/oven-001/telemetry reading.json
  mosquitto_sub -v -t 'sensors/#' | egiz-schema validate
  egiz-schema explain thermal.setpoint
"""
_VALIDATE = """\
One message, of a file, of standard input, or as it is given:
  egiz-schema validate --topic sensors/factory/oven-001/telemetry reading.json
  egiz-schema validate --topic sensors/factory/oven-001/status < birth.json
  egiz-schema validate --topic sensors/factory/oven-001/config --payload '{...}'
Many:
  mosquitto_sub -v -t 'sensors/#' | egiz-schema validate

Without --topic, each line is a topic, a space and a payload, as mosquitto_sub -v
prints them. Every problem is told where pydantic is installed (pip install
'egiz-schema[pydantic]'); elsewhere, the first of each message. A member that readers
ignore is noted: it may be newer than this contract, or misspelled.

Exit codes: 0 all are of the contract, 1 one is not, 2 wrong usage.
"""
_EXPLAIN = """\
A field by its path, with or without its kind, or by its name in InfluxDB; a group;
or nothing, for a list of all:
  egiz-schema explain electrical.voltage.a
  egiz-schema explain status_wifi_rssi
  egiz-schema explain telemetry.thermal
  egiz-schema explain

Exit codes: 0 explained, 2 there is no such field.
"""
_TOPIC = """\
Take one apart:
  egiz-schema topic sensors/factory/heat-pump-01/status
Build one:
  egiz-schema topic factory heat-pump-01 status

Exit codes: 0 it is a topic of the contract, 2 it is none; the message says why.
"""
_GENERATE = """\
Writes JSON Schemas, AsyncAPI, the data dictionary, the rules, TypeScript types and an
example for Home Assistant, and prints the path of each:
  egiz-schema generate --directory contract

Exit codes: 0 written, 2 the directory cannot be written.
"""
_GATE = """\
Prints a line for each change that would break a reader or a device: RULE path old new.
What must be broken is allowed, with its reason, in allow.toml beside the release.

Exit codes: 0 nothing breaks, 1 something does, 2 the release cannot be read.
"""
_VECTORS = """\
The vectors are JSON files in the package, for readers in any language:
  python -c "from importlib.resources import files; print(files('egiz_schema.vectors'))"
Each has a rule, a payload, a verdict with its reason, and InfluxDB's point of it.

Exit codes: 0 all hold, 1 one does not.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ends with its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        sys.exit(given.run(given))
    except BrokenPipeError:
        # Whoever read our output is gone; at its end, Python would complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INVALID)
    except (TopicError, OSError, ValueError) as fault:
        parser.exit(EXIT_USAGE, f"egiz-schema: {fault}\n")


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "egiz-schema", description=_DESCRIPTION, formatter_class=as_written
    )
    told = f"%(prog)s {version('egiz-schema')}"
    parser.add_argument("--version", action="version", version=told)
    commands = parser.add_subparsers(title="Commands", required=True, metavar="COMMAND")

    def command(
        run: Callable[[argparse.Namespace], int], about: str, epilog: str
    ) -> argparse.ArgumentParser:
        name = run.__name__.removeprefix("_")
        added = commands.add_parser(
            name, help=about, epilog=epilog, formatter_class=as_written
        )
        added.set_defaults(run=run)
        return added

    validate = command(_validate, "say what is wrong with messages", _VALIDATE)
    validate.add_argument("files", nargs="*", default=["-"], metavar="FILE")
    validate.add_argument("--topic", help="where the payloads arrived")
    validate.add_argument("--payload", help="instead of a file; needs --topic")
    explain = command(_explain, "tell what a field means", _EXPLAIN)
    explain.add_argument("field", nargs="?", help="electrical.voltage.a")
    topic = command(_topic, "take a topic apart, or build one", _TOPIC)
    topic.add_argument("levels", nargs="+", help="TOPIC, or FACILITY DEVICE_ID KIND")
    generate = command(_generate, "write the generated documents", _GENERATE)
    generate.add_argument("--directory", type=Path, help="default: in the package")
    gate = command(_gate, "compare with the last release: what would break", _GATE)
    gate.add_argument("--released", type=Path, help="default: the one in the package")
    gate.add_argument("--rules", action="store_true", help="list the rules, and end")
    vectors = command(_vectors, "run or list the golden vectors", _VECTORS)
    vectors.add_argument("--list", action="store_true", help="list the rules, and end")
    return parser


def _validate(given: argparse.Namespace) -> int:
    messages = wrong = 0
    try:
        for place, topic, payload in _inputs(given):
            messages += 1
            found = list(_problems(topic, payload))
            wrong += bool(found)
            for problem in found or _notes(topic, payload):
                print(f"{place}: {problem}", flush=True)  # live, also into a pipe
    except KeyboardInterrupt:
        pass  # as one ends mosquitto_sub
    told = f"{messages} read, {wrong} not of the contract"
    print(told, file=sys.stderr)
    return EXIT_INVALID if wrong else 0


def _inputs(given: argparse.Namespace) -> Iterator[tuple[str, str, bytes]]:
    """(where it was found, topic, payload) of each message."""
    if given.payload is not None and given.topic is None:
        raise ValueError("--payload needs --topic: it says which message to expect")
    if given.topic is None:
        yield from _topics_and_payloads(given.files)
        return
    topic = str(parse_topic(given.topic))
    if given.payload is not None:
        yield "payload", topic, os.fsencode(given.payload)
        return
    for name in given.files:
        yield name, topic, b"".join(_lines(name))


def _topics_and_payloads(files: list[str]) -> Iterator[tuple[str, str, bytes]]:
    for name in files:
        for number, line in enumerate(_lines(name), 1):
            if number == 1 and line.lstrip().startswith(b"{"):
                told = "add --topic sensors/FACILITY/DEVICE_ID/KIND"
                raise ValueError(f"{name}: a payload without its topic; {told}")
            topic_bytes, _, payload = line.rstrip(b"\r\n").partition(b" ")
            yield f"{name}:{number}", topic_bytes.decode(errors="replace"), payload


def _lines(name: str) -> Iterable[bytes]:
    if name == "-":
        if sys.stdin.isatty():
            print("Reading standard input; Ctrl-D ends it.", file=sys.stderr)
        yield from sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield from file


def _problems(topic: str, payload: bytes) -> Iterator[str]:
    try:
        parsed = parse_topic(topic)
    except TopicError as fault:
        yield f"{fault.reason}: {fault}"
        return
    for problem in _faults(parsed, payload):
        yield f"{problem.reason} at {problem.path}: {problem}"


def _notes(topic: str, payload: bytes) -> Iterator[str]:
    for path in unknown_fields(topic, payload):
        yield f"note at {path}: readers ignore it; newer than they are, or misspelled"


def _faults(topic: Topic, payload: bytes) -> list[DecodeError]:
    try:
        from egiz_schema.models import problems  # noqa: PLC0415  # an extra
    except ImportError:
        pass
    else:
        return problems(topic, payload)
    try:
        decode(topic, payload)
    except DecodeError as fault:
        return [fault]
    return []


def _explain(given: argparse.Namespace) -> int:
    from egiz_schema.documents.dictionary import rows  # noqa: PLC0415  # seldom needed

    known = {f"{row['kind']}.{row['path']}": row for row in rows()}
    wanted = given.field or ""
    of_item = re.sub(r"_\d+", "_N", wanted)  # temperature_zones_0 is one of many
    found = [
        row
        for name, row in known.items()
        if wanted in {name, row["path"]} or (wanted and of_item == row["influx_field"])
    ]
    if found:
        print("\n\n".join(map(_told, found)))
        return 0
    group = [name for name in known if not wanted or _is_within(name, wanted)]
    for name in group:
        print(f"{name:44}{known[name]['meaning']}")
    if group:
        return 0
    near = difflib.get_close_matches(wanted, [row["path"] for row in known.values()], 3)
    hint = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    raise ValueError(f"no field {wanted!r}{hint}")


def _is_within(name: str, group: str) -> bool:
    path = name.partition(".")[2]
    return any(whole.startswith((f"{group}.", f"{group}[")) for whole in (name, path))


def _told(row: dict[str, str]) -> str:
    lines = [f"{row['kind']}.{row['path']}: {row['meaning']}"]
    facts = list(row.items())[2:]
    lines += [
        f"  {name:13}{fact}" for name, fact in facts if fact and name != "meaning"
    ]
    return "\n".join(lines)


def _topic(given: argparse.Namespace) -> int:
    if len(given.levels) == 1:
        topic = parse_topic(given.levels[0])
        for name in ("facility", "device_id", "device_type", "unit", "kind"):
            print(f"{name:12}{getattr(topic, name)}")
        return 0
    if len(given.levels) != 3:  # noqa: PLR2004  # as the help says
        raise ValueError("give one TOPIC, or FACILITY DEVICE_ID KIND")
    print(Topic(*given.levels))
    return 0


def _generate(given: argparse.Namespace) -> int:
    from egiz_schema import documents  # noqa: PLC0415  # seldom needed

    for path in documents.write(given.directory or documents.DIRECTORY):
        print(path)
    return 0


def _gate(given: argparse.Namespace) -> int:
    from egiz_schema import contract, gate  # noqa: PLC0415  # seldom needed

    if given.rules:
        for rule, meaning in gate.RULES.items():
            print(f"{rule:28}{meaning}")
        return 0
    breaches = gate.check(given.released or contract.RELEASED)
    for breach in breaches:
        print(breach)
    return EXIT_INVALID if breaches else 0


def _vectors(given: argparse.Namespace) -> int:
    from egiz_schema import vectors  # noqa: PLC0415  # seldom needed

    count = 0
    for name in ("topics", "telemetry", "status", "config", "command"):
        rules, listed = vectors.load(name)
        count += len(listed)
        for rule, meaning in rules.items() if given.list else ():
            print(f"{rule:9}{meaning}")
    if given.list:
        return 0
    found = list(vectors.mismatches(decode))
    for vector, said in found:
        expected = " ".join(filter(None, (vector["verdict"], vector.get("reason"))))
        about = vector.get("about", vector.get("topic"))
        print(f"{vector['rule']} {about}: {expected}, not {said}")
    print(f"{count} vectors, {len(found)} mismatches", file=sys.stderr)
    return EXIT_INVALID if found else 0
