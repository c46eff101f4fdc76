"""What the command line programs of OpenEgiz share."""

from egiz_cli.commands import (
    Command,
    Group,
    InputFile,
    OutputFile,
    Real,
    command,
    group,
)
from egiz_cli.connack import explain_refusal
from egiz_cli.errors import Unusable, explain, without_passwords
from egiz_cli.exit_codes import DONE, FAILED, INTERRUPTED, MEANINGS, PIPE_CLOSED, USAGE
from egiz_cli.ports import free_port
from egiz_cli.program import Program
from egiz_cli.signals import child_process, ending_signals

__version__ = "0.1.0"

__all__ = [
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "MEANINGS",
    "PIPE_CLOSED",
    "USAGE",
    "Command",
    "Group",
    "InputFile",
    "OutputFile",
    "Program",
    "Real",
    "Unusable",
    "__version__",
    "child_process",
    "command",
    "ending_signals",
    "explain",
    "explain_refusal",
    "free_port",
    "group",
    "without_passwords",
]
