"""Commands: each is executed at most once, and every refusal has its reason."""

import asyncio
import json

from _board import Clock, Log, Store
from egiz_edge.commands import CommandError, Commands


class Device:
    """Commands over boots: the store stays."""

    def __init__(self):
        self.store = Store()
        self.clock = Clock()
        self.executed = []

    async def _work(self, args):
        self.executed.append(args)
        if "fail" in args:
            raise CommandError("it broke")
        if "refuse" in args:
            raise CommandError("not so", "refused")
        if "crash" in args:
            raise OSError("boom")
        return args.get("after")

    def receive(self, command, reason=None, is_retained=False):
        commands = Commands(self.store, self.clock, {"work": self._work}, Log())
        after = asyncio.run(commands.receive(command, reason, is_retained))
        return after, json.loads(self.store.get("last_command"))


def _command(command_id, **more):
    command = {"device_id": "oven-001", "id": command_id, "action": "work"}
    command.update(more)
    return command


def test_a_command_is_executed_and_its_last_step_is_given():
    device = Device()
    after, last = device.receive(_command("c1", args={"after": "reboot"}))
    assert last == {"id": "c1", "result": "done"}
    assert after == "reboot"
    assert device.executed == [{"after": "reboot"}]


def test_each_refusal_has_its_reason_and_nothing_is_executed():
    device = Device()
    for command, retained, reason in (
        (_command("c1"), True, "retained"),
        (_command("c2", expires_at=1799999999), False, "expired"),
        (_command("c3", action="dance"), False, "unknown action"),
    ):
        _, last = device.receive(command, None, retained)
        assert last == {"id": command["id"], "result": "refused", "error": reason}
    _, last = device.receive({"id": 7}, "id: not a text")
    assert last == {"id": "?", "result": "refused", "error": "id: not a text"}
    _, last = device.receive(None, "not JSON")
    assert last["id"] == "?"
    device.clock.is_set = False
    _, last = device.receive(_command("c4", expires_at=1900000000))
    assert last["error"] == "clock not set"
    assert device.executed == []


def test_a_command_before_its_expiry_is_executed():
    device = Device()
    assert device.receive(_command("c1", expires_at=1800000000))[1]["result"] == "done"


def test_a_failure_is_reported():
    device = Device()
    for number, (args, result, error) in enumerate(
        (
            ({"fail": 1}, "failed", "it broke"),
            ({"refuse": 1}, "refused", "not so"),
            ({"crash": 1}, "failed", None),
        )
    ):
        _, last = device.receive(_command(f"c{number}", args=args))
        assert last["result"] == result
        assert error is None or last["error"] == error
        assert "boom" in last["error"] or error


class PowerCutError(BaseException):
    """Nothing of the program is run after it."""


def test_a_command_that_a_power_cut_interrupts_leaves_word_of_it():
    device = Device()
    device.receive(_command("c1"))

    def cut(*_):
        raise PowerCutError

    device._work = cut
    try:
        device.receive(_command("c2"))
        raise AssertionError
    except PowerCutError:
        pass
    last = json.loads(device.store.get("last_command"))
    assert (last["id"], last["result"]) == ("c2", "failed")
    assert last["error"] == "interrupted"


def test_an_id_is_remembered_over_boots_and_among_the_last_sixteen():
    device = Device()
    for number in range(17):
        assert device.receive(_command(f"c{number}"))[1]["result"] == "done"
    for number in range(1, 17):
        last = device.receive(_command(f"c{number}"))[1]
        assert last["error"] == "repeated"
    assert len(device.executed) == 17
    assert device.receive(_command("c0"))[1]["result"] == "done"  # so long ago


def test_a_refused_command_does_not_use_up_its_id():
    device = Device()
    assert device.receive(_command("c1"), None, True)[1]["error"] == "retained"
    assert device.receive(_command("c1"))[1]["result"] == "done"
