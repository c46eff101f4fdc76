"""An unexpected error costs one message, never the flow of the others."""

import structlog

from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.printable import printable

INTERNAL = "internal"

_log = structlog.get_logger()
_logged: set[str] = set()


def internal_error(message: Message, error: Exception) -> DeadLetter:
    """The dead letter of a message on which the bridge failed; call it in `except`.

    The traceback is logged once for each place that raises.
    """
    place = place_of(error)
    if place not in _logged:
        _logged.add(place)
        _log.exception(
            "internal error: the message is a dead letter (egiz-bridge dlq), the others"
            " go on; please report this; further ones from this place are only counted",
            topic=printable(message.topic),
        )
    return DeadLetter(message, INTERNAL, f"{type(error).__name__} at {place}")


def place_of(error: BaseException) -> str:
    """Module and line of the innermost frame; the source has few, so few are kept."""
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    if traceback is None:
        return type(error).__name__
    module = traceback.tb_frame.f_globals.get("__name__", "?")
    return f"{module}:{traceback.tb_lineno}"
