"""What `egiz-schema` prints about itself: helps, exit codes, completion.

The exit codes are those of egiz-cli, which this package cannot depend on.
"""

import argparse
import re
from collections.abc import Mapping

DONE, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141

MEANINGS = {
    DONE: "done; all is well",
    FAILED: "the answer is no, or something that it needs failed",
    USAGE: "wrong usage: an option, an argument, the configuration or a file",
    INTERRUPTED: "interrupted with Ctrl-C before it was done",
    PIPE_CLOSED: "nothing reads its output any more, as after `| head -1`",
}

PROGRAM = """\
The contract of OpenEgiz: topics, payloads, limits, documents.

  egiz-schema validate --topic sensors/factory/oven-001/telemetry reading.json
  mosquitto_sub -v -t 'sensors/#' | egiz-schema validate
  egiz-schema explain thermal.setpoint
"""
VALIDATE = """\
One message, from a file, from standard input, or as it is given:
  egiz-schema validate --topic sensors/factory/oven-001/telemetry reading.json
  egiz-schema validate --topic sensors/factory/oven-001/status < birth.json
  egiz-schema validate --topic sensors/factory/oven-001/config --payload '{...}'
Many:
  mosquitto_sub -v -t 'sensors/#' | egiz-schema validate

Without --topic, messages are read as mosquitto_sub prints them with -v, or
with -F '%I %t %p' and other words before the topic, or with -F %j; a payload
may have several lines. Every problem is printed. One that readers drop, keeping
the rest of the message, is a "repair": a writer should not need it. A member
that readers ignore is noted: it may be newer than this contract, or misspelled.
Ctrl-C ends live traffic with its summary.
"""
EXPLAIN = """\
A field by its path, with or without its kind, or by its name in InfluxDB; a
group; a quantity of channels; the reason of an error; a part of any of these
names; or nothing, for a list of all fields:
  egiz-schema explain electrical.voltage.a
  egiz-schema explain zones
  egiz-schema explain humidity
  egiz-schema explain status_wifi_rssi
  egiz-schema explain telemetry.thermal
  egiz-schema explain
"""
TOPIC = """\
Split one into its parts:
  egiz-schema topic sensors/factory/heat-pump-01/status
Build one:
  egiz-schema topic factory heat-pump-01 status
"""
GENERATE = """\
Writes JSON Schemas, AsyncAPI, the data dictionary, the rules, TypeScript types
and an example for Home Assistant, and prints the path of each:
  egiz-schema generate --directory contract
"""
GATE = """\
Prints a line for each change that would break a reader or a device:
RULE path old new.
  egiz-schema gate
What must be broken is allowed, with its reason, in allow.toml beside the
release.
"""
VECTORS = """\
The vectors are JSON files in the package, for readers in any language:
  python -c "import egiz_schema.vectors as v; print(v.__path__[0])"
Each has a rule, a payload, a verdict with its reason, and its point in
InfluxDB.
"""
COMPLETION = """\
Then start a new shell:
  egiz-schema completion bash \\
    > ~/.local/share/bash-completion/completions/egiz-schema
  egiz-schema completion zsh \\
    > "${fpath[1]}/_egiz-schema"
"""
_TARGETS = {
    "bash": "~/.local/share/bash-completion/completions/egiz-schema",
    "zsh": '"${fpath[1]}/_egiz-schema"',
}

# Options where a word begins with a dash; elsewhere what is chosen from, or files.
_BASH = """\
_egiz_schema() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" options="{options}" choices="{commands}"
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  case "$word" in -*) choices="$options" ;; esac
  COMPREPLY=($(compgen -W "$choices" -- "$word"))
}}
complete -o default -F _egiz_schema egiz-schema
"""
# The last lines: zsh loads the file at the first TAB, and asks what it left for more.
_ZSH = """\
#compdef egiz-schema
_egiz_schema() {{
  local options="{options}" choices="{commands}"
  if (( CURRENT > 2 )); then
    case "$words[2]" in
{cases}
    esac
  fi
  if [[ "$words[CURRENT]" == -* ]]; then compadd -- ${{=options}}
  elif [[ -n "$choices" ]]; then compadd -- ${{=choices}}
  else _files
  fi
}}
if [[ "$zsh_eval_context[-1]" == loadautofunc ]]; then _egiz_schema "$@"
else compdef _egiz_schema egiz-schema
fi
"""


def printable(line: str) -> str:
    """One line, whatever names a payload or a file has: they may come from anybody."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def without_passwords(line: str) -> str:
    """As that of egiz-cli: an error repeats what a person typed, also a URL."""
    words = re.split(r"(\s+)", line)
    return "".join(map(_without_password, words)) if "@" in line else line


def _without_password(word: str) -> str:
    before, at, host = word.rpartition("@")
    scheme, slashes, login = before.rpartition("://")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}:***@{host}" if at and colon else word


def with_exit_codes(text: str, meanings: Mapping[int, str]) -> str:
    """A help with the table at its end, in the words of this command."""
    table = MEANINGS | dict(meanings)
    lines = [f"  {code:<5}{meaning}" for code, meaning in table.items()]
    return "\n".join([text, "Exit codes:", *lines])


def completion(commands: Mapping[str, argparse.ArgumentParser], shell: str) -> str:
    """A script for the shell, from the commands as they are."""
    cases = "\n".join(
        f'      {command}) options="{_options(parser)}" choices="{_choices(parser)}" ;;'
        for command, parser in commands.items()
    )
    template = {"bash": _BASH, "zsh": _ZSH}[shell]
    names = " ".join(commands)
    script = template.format(commands=names, options="-h --help --version", cases=cases)
    install = f"egiz-schema completion {shell} > {_TARGETS[shell]}"
    return f"{script}# To install: {install}"


def _options(parser: argparse.ArgumentParser) -> str:
    # argparse lists them nowhere else.
    return " ".join(o for one in parser._actions for o in one.option_strings)  # noqa: SLF001  # as above


def _choices(parser: argparse.ArgumentParser) -> str:
    return " ".join(c for one in parser._actions for c in one.choices or ())  # noqa: SLF001  # as above
