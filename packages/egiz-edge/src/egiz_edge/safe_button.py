"""The button in safe mode, loaded once it is pressed: as in the app."""

from machine import reset

from egiz_edge import boot_loop, safe_mode, startup
from egiz_edge.portal import button, ordered


class Button:
    """Looked at twice a second, on the board with the flash `directory`."""

    def __init__(self, directory):
        self._directory = directory
        self._press = button.Button(self, print)

    def value(self):
        """Whether it is pressed."""
        return safe_mode.is_pressed(self._directory)

    def obey(self):
        """A press that has ended; then it resets the board."""
        what = self._press.look()
        if what is None:
            return
        board = startup.board_in(self._directory)
        cause = ordered.accept(board, what, "button")
        if cause is None:
            print("button: no label, so no portal: egiz-edge label")
            return
        boot_loop.write(board.data_directory, 0, cause)
        reset()
