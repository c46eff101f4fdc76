"""The entry point of `egiz-schema`: Ctrl-C is quiet while the program loads.

It stands outside `egiz_schema`, of which each import is an import of the whole library.
`egiz_launch` does the same for the other programs; this one needs msgspec alone. Not
covered: the first milliseconds of the interpreter, and the library's import before
`python -m egiz_schema` comes here.
"""

import os
import signal

INTERRUPTED = 130  # egiz_schema.cli.text.INTERRUPTED: importing it takes too long


def main() -> None:
    """Run the command; ends with its exit code.

    SIGINT ends the process with exit code 130 until the command begins, and once it
    has ended. Where SIGINT is ignored, as in a background job of a script, it stays so.
    """
    is_python_in_charge = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_python_in_charge:
        signal.signal(signal.SIGINT, _end)
    from egiz_schema import cli  # noqa: PLC0415  # what takes the time

    try:
        try:
            if is_python_in_charge:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            cli.main()
        finally:
            if is_python_in_charge:
                signal.signal(signal.SIGINT, _end)
    except KeyboardInterrupt:  # between the command and this module
        _end()


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)
