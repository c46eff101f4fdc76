"""The button in safe mode, loaded once it is pressed: as in the app."""

from machine import reset

from egiz_edge import boot_loop, safe_mode, startup
from egiz_edge.portal import button, ordered


class _Pin:
    value = staticmethod(safe_mode.is_pressed)


def look(presses):
    """Follow a press, twice a second; one that has ended is obeyed by a reset.

    Args:
        presses: empty before the first look.
    """
    if not presses:
        presses.append(button.Button(_Pin, print))
    what = presses[0].look()
    if what is None:
        return
    board = startup.board_in("")
    cause = ordered.accept(board, what, "button")
    if cause is None:
        print("button: no label, so no portal: egiz-edge label")
        return
    boot_loop.write(board.data_directory, 0, cause)
    reset()
