"""Whether this boot is one of the updater, instead of the app; it shares no memory.

What runs meanwhile finds as little as possible of what only begins or ends it.
"""

import gc
import sys

from egiz_edge import boot_loop, unload


def run(directory, data):
    """Run the updater if an order is due, and reset the board; else return."""
    given = _due(directory, data)
    if given is None:
        unload("ota.boot", "ota")
        return
    # Not within `try`: where the flash cannot count, there would be no end of resets.
    is_proving = _counted(directory, data, given)
    gc.threshold(8192)  # bytes, as main.py has it
    try:
        cause = _updated(directory, given, is_proving)
    except Exception as error:
        sys.print_exception(error)
        cause = "crash: %r" % error
        _note(data, given, error)
    from machine import reset  # noqa: PLC0415, TID251  # no port is loaded, as in main.py

    boot_loop.note_reset(data, cause)
    reset()


def _due(directory, data):
    """The order, if it is due."""
    from egiz_edge.ota import order  # noqa: PLC0415  # not kept, see `unload_order`

    given = order.read(data)
    if given is not None and not order.is_due(directory, given):
        given = None
    del order
    unload_order()
    return given


def _counted(directory, data, given):
    """Count this boot, before anything that may fail; gives whether it is of a trial.

    The selector has counted that.
    """
    from egiz_edge import slots  # noqa: PLC0415  # as above
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    is_proving = slots.is_on_trial(directory)
    if not is_proving:
        given["tries"] = str(int(given["tries"]) + 1)
        order.write(data, given)
    del order, slots
    unload_order()
    return is_proving


def _updated(directory, given, is_proving):
    """Fetch what is ordered, or prove that what came can update again."""
    if is_proving:
        from egiz_edge.ota import trial  # noqa: PLC0415  # may not load

        return trial.main(directory, given)
    from egiz_edge.ota import install  # noqa: PLC0415  # as above

    return install.main(directory, given)


def _note(data, given, error):
    from egiz_edge.ota import order  # noqa: PLC0415  # as above

    order.note(data, given, error)


def unload_order():
    """Unload what reads and writes an order and the record of the slots."""
    unload("ota.order", "ota", "slots")
