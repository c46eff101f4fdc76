"""Start a program so that Ctrl-C is quiet at every moment, also while it loads.

A program imports for up to a second. A Ctrl-C meanwhile would be a traceback through
modules of other people. So the entry point of a program imports nothing but this
module, which imports next to nothing: it stands outside `egiz_cli`, which needs click.

The first milliseconds are not covered: until the interpreter has read its own library
and this module, Python itself answers SIGINT, and may print a traceback.
"""

import os
import signal
import sys
import time
from _thread import get_ident
from importlib import import_module

INTERRUPTED = 130  # egiz_cli.INTERRUPTED: importing it would be what is waited for


def launch(module: str) -> None:
    """Import `module`, and run its `main`, which ends the process.

    SIGINT ends the process with exit code 130 until `main` begins, and once it has
    ended; `main` runs with Python's handler, and a KeyboardInterrupt that Python
    ignores is raised again. Where SIGINT is ignored, as in a background job of a
    script, it stays so.
    """
    if not _is_python_in_charge():
        import_module(module).main()
        return
    signal.signal(signal.SIGINT, _end)
    run = import_module(module).main
    try:
        try:
            sys.unraisablehook = _interrupt_again
            signal.signal(signal.SIGINT, signal.default_int_handler)
            run()
        finally:
            signal.signal(signal.SIGINT, _end)
    except KeyboardInterrupt:  # between the command and this module
        _end()


def _is_python_in_charge() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _interrupt_again(ignored: "sys.UnraisableHookArgs") -> None:
    """For a Ctrl-C amid a destructor or the callback of an import: it would be lost."""
    if ignored.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(ignored)
        return
    from threading import Thread  # noqa: PLC0415  # seldom needed

    # Not here, where it would be ignored, too.
    Thread(target=_interrupt_later, args=(get_ident(),), daemon=True).start()


def _interrupt_later(thread: int) -> None:
    """Once that thread has left the function above, however slow the machine is."""
    is_there = True
    while is_there:
        time.sleep(0.01)
        frame = sys._current_frames().get(thread)  # noqa: SLF001  # no other way to see
        while frame and frame.f_code is not _interrupt_again.__code__:
            frame = frame.f_back
        is_there = frame is not None
    signal.pthread_kill(thread, signal.SIGINT)


def _end(*_: object) -> None:
    # Not sys.exit: what runs now may be a destructor, which drops every exception.
    os._exit(INTERRUPTED)
