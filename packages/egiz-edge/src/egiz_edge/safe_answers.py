"""What safe mode keeps of the last command; loaded to look, and not kept.

Its id: a retained one is sent again. And its answer, which the status has: a power cut
before there is one leaves `interrupted`, as commands.py does it. The app takes that
over at its start.
"""

import json
import os

LAST = "last_command"  # of the status, and where the app keeps its own in the store
_ID = "/safe_mode_id"
_ANSWER = "/safe_mode_answer"
_ID_MAX, _ANSWER_MAX = 99, 500  # characters


def is_repeated(data, command_id):
    """Whether it is the id of the last command; `data` is the directory."""
    return _read(data + _ID, _ID_MAX) == command_id


def begin(data, command_id, printable_id):
    """A command is about to be executed."""
    # Rather a word too many than an id for which there is none.
    end(data, printable_id, {"result": "failed", "error": "interrupted"})
    _keep(data + _ID, command_id)


def end(data, printable_id, answer):
    """What became of it."""
    kept = {"id": printable_id}
    kept.update(answer)
    _keep(data + _ANSWER, json.dumps(kept))


def member(data):
    """What the status has of the last answer."""
    text = _read(data + _ANSWER, _ANSWER_MAX)
    try:
        answer = json.loads(text or "0")
    except ValueError:  # it is damaged
        answer = 0
    return {LAST: answer} if type(answer) is dict else {}


def hand_over(data, store):
    """To the app, whose own last command is older."""
    for answer in member(data).values():
        store.put(LAST, json.dumps(answer))
    try:
        os.remove(data + _ANSWER)
    except OSError:
        pass  # there is none


def _keep(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        print("safe mode: no word is kept of a command: %r" % error)


def _read(path, most):
    try:
        with open(path) as file:
            return file.read(most)
    except (OSError, ValueError):  # none, or not UTF-8
        return None
