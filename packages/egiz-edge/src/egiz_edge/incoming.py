"""Processing of one message, config or command; in memory only meanwhile."""

import json


def checked(msg, is_config, device_id):
    """The decoded message, and why the contract does not allow it, or None.

    MemoryError, or what the import raises, where the contract itself does not load.
    """
    # Not within `try`: a ValueError of a module that is damaged is none of the message.
    from egiz_schema import orders  # noqa: PLC0415  # gone before it is executed

    document = reason = None
    try:
        document = json.loads(msg)
        if is_config:
            orders.check_config(document, device_id)
        else:
            orders.check_command(document, device_id)
            if document["action"] in orders.ACTIONS:  # else it is refused later
                arguments = document.get("args") or {}
                orders.check_arguments(document["action"], arguments, device_id)
    except ValueError as error:
        reason = error.args[1] if error.args[1:] else "not JSON"
    return document, reason


def commands(app, board, log):
    """The `Commands` of a device, with all of its actions."""
    from egiz_edge.actions import Actions  # noqa: PLC0415  # not for a config
    from egiz_edge.commands import Commands  # noqa: PLC0415

    actions = Actions(app, board).all()
    return Commands(board.store, board.clock, actions, log)


def id_of(msg):
    """The id of a command that is not processed, or "?"."""
    try:
        command_id = json.loads(msg)["id"]
    except (ValueError, KeyError, TypeError, MemoryError):
        return "?"
    return command_id if type(command_id) is str else "?"
