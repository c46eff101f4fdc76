"""Commands: each at most once, and every refusal has its reason."""

import asyncio
import json

from _board import Clock, Log, Store
from egiz_edge.commands import CommandError, Commands


class Device:
    """Commands over boots: the store stays."""

    def __init__(self):
        self.store = Store()
        self.clock = Clock()
        self.obeyed = []

    async def _work(self, args):
        self.obeyed.append(args)
        if "fail" in args:
            raise CommandError("it broke")
        if "refuse" in args:
            raise CommandError("not so", "refused")
        if "crash" in args:
            raise OSError("boom")
        return args.get("after")

    def gets(self, command, error=None, is_retained=False):
        commands = Commands(self.store, self.clock, {"work": self._work}, Log())
        after = asyncio.run(commands.receive(command, error, is_retained))
        return after, json.loads(self.store.get("last_command"))


def _order(command_id, **more):
    told = {"device_id": "oven-001", "id": command_id, "action": "work"}
    told.update(more)
    return told


def test_what_is_obeyed_is_done_and_what_remains_is_given():
    device = Device()
    after, last = device.gets(_order("c1", args={"after": "reboot"}))
    assert last == {"id": "c1", "result": "done"}
    assert after == "reboot"
    assert device.obeyed == [{"after": "reboot"}]


def test_each_refusal_has_its_reason_and_nothing_is_done():
    device = Device()
    for command, retained, told in (
        (_order("c1"), True, "retained"),
        (_order("c2", expires_at=1799999999), False, "expired"),
        (_order("c3", action="dance"), False, "unknown action"),
    ):
        _, last = device.gets(command, None, retained)
        assert last == {"id": command["id"], "result": "refused", "error": told}
    _, last = device.gets({"id": 7}, "id: not a text")
    assert last == {"id": "?", "result": "refused", "error": "id: not a text"}
    _, last = device.gets(None, "not JSON")
    assert last["id"] == "?"
    device.clock.is_set = False
    _, last = device.gets(_order("c4", expires_at=1900000000))
    assert last["error"] == "clock not set"
    assert device.obeyed == []


def test_an_order_in_time_is_obeyed():
    device = Device()
    assert device.gets(_order("c1", expires_at=1800000000))[1]["result"] == "done"


def test_a_failure_is_told():
    device = Device()
    for number, (args, result, error) in enumerate(
        (
            ({"fail": 1}, "failed", "it broke"),
            ({"refuse": 1}, "refused", "not so"),
            ({"crash": 1}, "failed", None),
        )
    ):
        _, last = device.gets(_order(f"c{number}", args=args))
        assert last["result"] == result
        assert error is None or last["error"] == error
        assert "boom" in last["error"] or error


def test_an_id_is_remembered_over_boots_and_among_the_last_sixteen():
    device = Device()
    for number in range(17):
        assert device.gets(_order(f"c{number}"))[1]["result"] == "done"
    for number in range(1, 17):
        last = device.gets(_order(f"c{number}"))[1]
        assert last["error"] == "repeated"
    assert len(device.obeyed) == 17
    assert device.gets(_order("c0"))[1]["result"] == "done"  # so long ago


def test_a_refused_order_does_not_use_up_its_id():
    device = Device()
    assert device.gets(_order("c1"), None, True)[1]["error"] == "retained"
    assert device.gets(_order("c1"))[1]["result"] == "done"
