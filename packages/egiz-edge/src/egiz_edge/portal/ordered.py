"""What a person orders of a running board: its portal, or a factory reset."""

from egiz_edge import boot_loop, slots
from egiz_edge.portal import label

FACTORY_RESET = "factory_reset"


def accept(board, what, by):
    """Prepare it; gives the cause of the reset that has to follow.

    None without a label: such a board has no portal, and could be given no settings
    but by cable.

    Args:
        board: a port's `Board`.
        what: `portal` or `factory_reset`.
        by: who or what has ordered it.
    """
    if label.read(board.store) is None:
        return None
    directory = board.data_directory[: -len("/data")]
    slots.restore(directory)
    if what != FACTORY_RESET:
        return boot_loop.PORTAL + by
    with open(directory + "/" + boot_loop.ERASE, "w"):
        pass
    return "reboot: factory_reset"
