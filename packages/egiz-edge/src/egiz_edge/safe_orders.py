"""What safe mode obeys beside `reboot`: `ota` and `rollback`, with the app's checks.

Loaded for such a command only: it uses modules of the app, which has crashed.
"""

from egiz_schema import orders

from egiz_edge import commands, startup, unload, unload_rules, update
from egiz_edge.ota import order


def obey(directory, command, device_id):
    """Keep an order for the next boot, as the app does.

    Gives the reason of a refusal, or None; and what the status then has of it.
    """
    arguments = command.get("args") or {}
    try:
        orders.check_command(command, device_id)
        orders.check_arguments(command["action"], arguments, device_id)
        board = startup.board_in(directory)
        commands.check_expiry(command, board.clock)
    except (ValueError, commands.CommandError) as error:
        return error.args[-1], None
    wanted = arguments if command["action"] == "ota" else None
    reason = update.accept(board, device_id, wanted)
    return reason, None if reason else order.kept(board.store)


def unload_all():
    """After a refusal: safe mode goes on."""
    unload("safe_orders", "commands", "startup", "update")
    unload("desired_firmware", "firmware")
    unload("ota.order", "ota.rollout", "ota", "slots")
    unload_rules()
