"""The command `egiz-schema`: the contract, for people and for scripts."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from egiz_schema import __version__
from egiz_schema.address import Topic, parse_topic
from egiz_schema.cli import streams
from egiz_schema.cli import text as cli_text
from egiz_schema.cli.text import DONE, FAILED, INTERRUPTED, PIPE_CLOSED, USAGE
from egiz_schema.cli.validation import naming, validate
from egiz_schema.codec import decode_with_dropped
from egiz_schema.errors import TopicError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; ends with its exit code."""
    streams.prepare()
    try:
        code = _run(arguments)
        sys.stdout.flush()  # a reader that has gone is noticed here at the latest
    except BrokenPipeError:
        # At its end, Python would try again, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    except OSError as error:
        print(
            f"egiz-schema: cannot write the output: {error.strerror}", file=sys.stderr
        )
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    sys.exit(code)


class _Parser(argparse.ArgumentParser):
    """argparse drops the error of a help that cannot be written, and ends with 0."""

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """As argparse does; an option may have any name."""
        super().error(cli_text.printable(cli_text.without_passwords(message)))


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
        code: int = given.run(given)
    except SystemExit as end:  # of argparse, which has printed a help or a sentence
        return end.code if isinstance(end.code, int) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if not error.filename:
            raise  # of the output
        sentence = f"{error.filename}: {error.strerror}"
    except (TopicError, ValueError) as error:
        sentence = str(error)
    else:
        return code
    shown = cli_text.printable(cli_text.without_passwords(sentence))
    print(f"egiz-schema: {shown}", file=sys.stderr)
    return USAGE


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        "egiz-schema",
        description=cli_text.PROGRAM,
        epilog=cli_text.with_exit_codes("", {}),
        formatter_class=as_written,
    )
    about_version = f"%(prog)s {__version__}"
    parser.add_argument("--version", action="version", version=about_version)
    commands = parser.add_subparsers(title="Commands", required=True, metavar="COMMAND")

    def command(
        run: Callable[[argparse.Namespace], int],
        about: str,
        text: str,
        **meanings: str,
    ) -> argparse.ArgumentParser:
        codes = {"done": DONE, "failed": FAILED, "usage": USAGE}
        by_code = {codes[name]: meaning for name, meaning in meanings.items()}
        added = commands.add_parser(
            run.__name__.removeprefix("_"),
            help=about,
            epilog=cli_text.with_exit_codes(text, by_code),
            formatter_class=as_written,
        )
        added.set_defaults(run=run)
        return added

    _add_commands(command)
    completion = command(
        _completion, "print a script for the shell", cli_text.COMPLETION
    )
    completion.add_argument("shell", choices=["bash", "zsh"])
    parser.set_defaults(commands=commands.choices)
    return parser


def _add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    messages = command(
        validate,
        "say what is wrong with messages",
        cli_text.VALIDATE,
        done="all messages follow the contract",
        failed="a message does not",
    )
    messages.add_argument("files", nargs="*", default=["-"], metavar="FILE")
    messages.add_argument("--topic", help="where the payloads arrived")
    messages.add_argument("--payload", help="instead of a file; needs --topic")
    explain = command(_explain, "say what a field means", cli_text.EXPLAIN)
    explain.add_argument("field", nargs="?", help="electrical.voltage.a, or a part")
    topic = command(
        _topic,
        "split a topic, or build one",
        cli_text.TOPIC,
        done="the topic follows the contract",
        usage="it does not; the message says why",
    )
    topic.add_argument("levels", nargs="+", help="TOPIC, or FACILITY DEVICE_ID KIND")
    generate = command(_generate, "write the generated documents", cli_text.GENERATE)
    generate.add_argument("--directory", type=Path, help="default: in the package")
    gate = command(
        _gate,
        "compare with the last release: what would break",
        cli_text.GATE,
        done="nothing breaks",
        failed="something breaks",
    )
    gate.add_argument("--released", type=Path, help="default: the one in the package")
    gate.add_argument("--rules", action="store_true", help="list the rules, and end")
    vectors = command(
        _vectors,
        "run or list the golden vectors",
        cli_text.VECTORS,
        done="all hold",
        failed="one does not",
    )
    vectors.add_argument("--list", action="store_true", help="list the rules, and end")


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, for completion, tests and documentation."""
    found: dict[str, argparse.ArgumentParser] = _parser().get_default("commands")
    return found


def _completion(given: argparse.Namespace) -> int:
    print(cli_text.completion(given.commands, given.shell))
    return DONE


def _explain(given: argparse.Namespace) -> int:
    from egiz_schema.cli.explained import explained  # noqa: PLC0415  # seldom needed

    print(explained(given.field or ""))
    return DONE


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
    if given.directory is None:
        documents.MODELS.write_text(documents.pydantic_models(), encoding="utf-8")
        print(documents.MODELS)
    return 0


def _gate(given: argparse.Namespace) -> int:
    from egiz_schema import contract, gate  # noqa: PLC0415  # seldom needed

    if given.rules:
        for rule, meaning in gate.RULES.items():
            print(f"{rule:28}{meaning}")
        return 0
    released = given.released or contract.RELEASED
    with naming(released):
        breaches = gate.check(released)
    for breach in breaches:
        print(breach)
    return FAILED if breaches else 0


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
    found = list(vectors.mismatches(decode_with_dropped))
    for vector, found_instead in found:
        expected = vectors.verdict_of(vector)
        about = vector.get("about", vector.get("topic"))
        print(f"{vector['rule']} {about}: {expected}, not {found_instead}")
    print(f"{count} vectors, {len(found)} mismatches", file=sys.stderr)
    return FAILED if found else 0
