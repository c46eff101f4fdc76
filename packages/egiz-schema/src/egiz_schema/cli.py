"""The command `egiz-schema`: the contract, for people and for scripts."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from egiz_schema.address import Topic, parse_topic
from egiz_schema.codec import decode
from egiz_schema.errors import DecodeError, TopicError

EXIT_INVALID = 1
EXIT_USAGE = 2

_DESCRIPTION = "The contract of OpenEgiz: topics, payloads, limits, documents."
_VALIDATE = """\
One message:
  egiz-schema validate --topic sensors/factory/oven-001/telemetry reading.json
Many:
  mosquitto_sub -v -t 'sensors/#' | egiz-schema validate

Without --topic, each line is a topic, a space and a payload, as mosquitto_sub -v
prints them. Every problem is told where pydantic is installed (pip install
'egiz-schema[pydantic]'); elsewhere, the first of each message.

Exit codes: 0 all are of the contract, 1 one is not, 2 wrong usage.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ends with its exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        sys.exit(given.run(given))
    except (TopicError, OSError, ValueError) as fault:
        parser.exit(EXIT_USAGE, f"egiz-schema: {fault}\n")
    except BrokenPipeError:
        sys.exit(EXIT_INVALID)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("egiz-schema", description=_DESCRIPTION)
    told = f"%(prog)s {version('egiz-schema')}"
    parser.add_argument("--version", action="version", version=told)
    commands = parser.add_subparsers(title="Commands", required=True, metavar="COMMAND")

    validate = commands.add_parser(
        "validate",
        help="say what is wrong with messages",
        epilog=_VALIDATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    validate.add_argument("files", nargs="*", default=["-"], metavar="FILE")
    validate.add_argument("--topic", help="where the payloads arrived")
    validate.add_argument("--payload", help="instead of a file")
    validate.set_defaults(run=_validate)

    explain = commands.add_parser("explain", help="tell what a field means")
    explain.add_argument("field", help="electrical.voltage.a, or as in InfluxDB")
    explain.set_defaults(run=_explain)

    topic = commands.add_parser("topic", help="take a topic apart, or build one")
    topic.add_argument("levels", nargs="+", help="TOPIC, or FACILITY DEVICE_ID KIND")
    topic.set_defaults(run=_topic)

    generate = commands.add_parser("generate", help="write the generated documents")
    generate.add_argument("--directory", type=Path, help="default: in the package")
    generate.set_defaults(run=_generate)

    gate = commands.add_parser(
        "gate", help="compare with the last release: what would break a reader"
    )
    gate.add_argument("--released", type=Path, help="default: the one in the package")
    gate.add_argument("--rules", action="store_true", help="list the rules, and end")
    gate.set_defaults(run=_gate)

    vectors = commands.add_parser("vectors", help="run or list the golden vectors")
    vectors.add_argument("--list", action="store_true", help="rules, and end")
    vectors.set_defaults(run=_vectors)
    return parser


def _validate(given: argparse.Namespace) -> int:
    messages = wrong = 0
    for place, topic, payload in _inputs(given):
        messages += 1
        found = list(_problems(topic, payload))
        wrong += bool(found)
        for problem in found:
            print(f"{place}: {problem}")
    told = f"{messages} read, {wrong} not of the contract"
    print(told, file=sys.stderr)
    return EXIT_INVALID if wrong else 0


def _inputs(given: argparse.Namespace) -> Iterator[tuple[str, str, bytes]]:
    """(where it was found, topic, payload) of each message."""
    if given.payload is not None or given.topic is not None:
        topic = str(parse_topic(given.topic or ""))
        if given.payload is not None:
            yield "payload", topic, given.payload.encode()
            return
        for name in given.files:
            yield name, topic, b"".join(_lines(name))
        return
    for name in given.files:
        for number, line in enumerate(_lines(name), 1):
            topic_bytes, _, payload = line.rstrip(b"\r\n").partition(b" ")
            yield f"{name}:{number}", topic_bytes.decode(errors="replace"), payload


def _lines(name: str) -> Iterable[bytes]:
    if name == "-":
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

    known = rows()
    wanted = given.field
    of_item = re.sub(r"_\d+", "_N", wanted)  # temperature_zones_0 is one of many
    found = [
        row
        for row in known
        if wanted in {row["path"], f"{row['kind']}.{row['path']}"}
        or of_item == row["influx_field"]
    ]
    if not found:
        near = difflib.get_close_matches(wanted, [row["path"] for row in known], 3)
        hint = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
        raise ValueError(f"no field {wanted!r}{hint}")
    print("\n\n".join(map(_told, found)))
    return 0


def _told(row: dict[str, str]) -> str:
    lines = [f"{row['kind']}.{row['path']}: {row['meaning']}"]
    labels = ("type", "unit", "min", "max", "required", "influx_field", "since")
    lines += [f"  {label:13}{row[label]}" for label in labels if row[label]]
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
