"""The order to update: a file of lines `name value`. How it stands is in the store.

An order has the version of a release and the URL of its directory, the lowest number
of a key set that counts (`keys`), how often the updater has begun (`tries`), `error` if
it failed, and `proven`: the security number of a release on trial that has shown that
it can update again. What became of its trial is the word in the record of the slots,
which is cleared before an order is written.
"""

import json
import os

from egiz_edge import slots

TRIES = 3  # boots of the updater
STORED = "ota"  # keys in the store
LAST = "rollout"
_ORDER = "/ota"
_NEEDED = ("version", "url", "tries")
_MAX, _ERROR_MAX = 500, 64  # characters: of an order, and of what is kept of an error


def give(directory, board, wanted):
    """Keep an order, which the next boot obeys; `wanted` is as the contract has it."""
    slots.write(directory, slots.running())  # without the word of an older trial
    order = {"version": wanted["version"], "tries": "0"}
    order["url"] = wanted["url"].rstrip("/")
    order["keys"] = "%d" % (wanted.get("keys") or 0)
    write(board.data_directory, order)
    keep(board.store, "updating", wanted["version"])


def is_due(directory, order):
    """Whether a boot of the updater has to run for it, before the app."""
    if slots.is_on_trial(directory):
        return "proven" not in order
    return outcome(directory, order) is None


def note(data, order, error):
    """Keep why the updater failed."""
    order["error"] = ("%r" % error).replace("\n", " ")[:_ERROR_MAX]
    try:
        write(data, order)
    except OSError:
        pass  # the next boot does not know why


def outcome(directory, order):
    """(state, error) of an order that has ended, or None: it is due, or on trial."""
    record = slots.read(directory)
    word = record[3] if record else ""
    if record and record[1] != "-":
        return None
    if word == slots.CONFIRMED:
        return "done", None
    if word.startswith(slots.ROLLED_BACK):
        return "rolled_back", word[len(slots.ROLLED_BACK) :]
    if word == slots.BY_CABLE:
        return "failed", "another version came by cable"
    if int(order["tries"]) >= TRIES:
        return "failed", "updater: " + order.get("error", "%d resets" % TRIES)
    return None


def end(board, state, version, error=None):
    """It has ended: keep how, and forget it."""
    keep(board.store, state, version, error)
    ended = last(board.store)
    if ended is not None and ended[1] == version:
        keep_last(board.store, ended[0], version, ended[2], state)
    try:
        os.remove(board.data_directory + _ORDER)
    except OSError:
        pass  # at the next boot it ends again, in the same way


def confirm(directory, board, order):
    """The version on trial has shown all that it must.

    The floor is raised first: a power cut must not leave it low.
    """
    security = int(order["proven"])
    if security > int(board.store.get("floor") or 0):
        board.store.put("floor", str(security))
    slots.confirm(directory)
    end(board, "done", order["version"])


def keep(store, state, version, error=None):
    """Keep how an order stands, as the status has it."""
    from egiz_edge.payloads import member, text  # noqa: PLC0415  # not to read one

    members = [member("state", text(state)), member("version", text(version))]
    if error:
        members.append(member("error", text(error)))
    store.put(STORED, "{" + ",".join(members) + "}")


def kept(store):
    """What `keep` has kept, as a dict; an empty one where it is damaged."""
    return _stored(store, STORED, dict) or {}


def keep_last(store, number, version, times, state):
    """Keep which order of a configuration was obeyed, how often, and how it ended."""
    store.put(LAST, json.dumps([number, version, times, state]))


def last(store):
    """[number, version, times, state] of `keep_last`; None before the first one.

    The state is `given` while the order has not ended, and where that was not kept.
    """
    found = _stored(store, LAST, list)
    if found is None or [type(value) for value in found] != [int, str, int, str]:
        return None
    return found


def _stored(store, key, kind):
    """A JSON text of the store; None where it is damaged."""
    try:
        found = json.loads(store.get(key) or "null")
    except ValueError:
        return None
    return found if type(found) is kind else None


def read(data):
    """The order: name -> text; None if there is none that is sound."""
    found = {}
    try:
        with open(data + _ORDER) as file:
            for line in file.read(_MAX).split("\n"):
                name, _, value = line.partition(" ")
                if name:
                    found[name] = value
    except (OSError, ValueError):  # none, or not UTF-8
        return None
    is_sound = all(found.get(name) for name in _NEEDED)
    return found if is_sound and found["tries"] in ("0", "1", "2", "3") else None


def write(data, order):
    """Replace the order at once."""
    lines = ["%s %s\n" % (name, order[name]) for name in order]
    with open(data + _ORDER + ".new", "w") as file:
        file.write("".join(lines))
    os.rename(data + _ORDER + ".new", data + _ORDER)
