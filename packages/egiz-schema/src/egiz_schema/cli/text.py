"""What `egiz-schema` prints about itself: helps, exit codes, completion.

The exit codes are those of egiz-cli, which this package cannot depend on.
"""

import argparse
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

_BASH = """\
_egiz_schema() {{
  local words=""
  if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"; fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _egiz_schema egiz-schema
"""
_ZSH = """\
#compdef egiz-schema
_egiz_schema() {{
  local words=""
  if (( CURRENT == 2 )); then compadd -- {commands}; return; fi
  case "$words_[2]" in
{cases}
  esac
  compadd -- ${{=options}}
  _files
}}
compdef _egiz_schema egiz-schema
"""


def with_exit_codes(text: str, meanings: Mapping[int, str]) -> str:
    """A help with the table at its end, in the words of this command."""
    table = MEANINGS | dict(meanings)
    lines = [f"  {code:<5}{meaning}" for code, meaning in table.items()]
    return "\n".join([text, "Exit codes:", *lines])


def completion(commands: Mapping[str, argparse.ArgumentParser], shell: str) -> str:
    """A script for the shell, from the commands as they are."""
    name = {"bash": "words", "zsh": "options"}[shell]
    cases = "\n".join(
        f'    {command}) [ "$COMP_CWORD" -gt 1 ] && {name}="{_words(parser)}" ;;'
        for command, parser in commands.items()
    )
    template = _BASH
    if shell == "zsh":
        cases = cases.replace('[ "$COMP_CWORD" -gt 1 ] && ', "")
        template = _ZSH.replace('words=""', 'options=""').replace("$words_", "$words")
    script = template.format(commands=" ".join(commands), cases=cases)
    install = f"egiz-schema completion {shell} > {_TARGETS[shell]}"
    return f"{script}# To install: {install}"


def _words(parser: argparse.ArgumentParser) -> str:
    words: list[str] = []
    for action in parser._actions:  # noqa: SLF001  # argparse lists them nowhere else
        words += action.option_strings or action.choices or ()
    return " ".join(words)
