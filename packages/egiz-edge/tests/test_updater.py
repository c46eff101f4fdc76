"""The updater alone, on a virtual board without a broker."""

import hashlib
import json
import shutil

import egiz_edge_tools.virtual_board as board_module
import pytest
from egiz_edge import slots
from egiz_edge_tools.bundle import stage
from egiz_edge_tools.hardware import Hardware
from egiz_edge_tools.packing import compose, pack
from egiz_edge_tools.private_keys import revoke
from egiz_edge_tools.virtual_board import VirtualBoard
from egiz_edge_tools.virtual_flash import install
from rig import updates
from rig.device import DEVICE
from rig.releases import FILES, PASSPHRASE, Releases

# Without the selector and the app: it ends where one of them would run.
UPDATER = """
from egiz_edge import slots
from egiz_edge.ota import boot
if not slots.is_on_trial(""):
    boot.run("", "/data")
"""
# The head of a release for the virtual board.
HEAD = {
    "egiz": "1",
    "version": "0.2.0",
    "security": "3",
    "target": "linux",
    "mpy": "6 0",
    "boot": "1",
    "keys": "1",
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Releases(tmp_path_factory.mktemp("keys") / "keys")


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    directory = tmp_path_factory.mktemp("firmware")
    stage(directory)
    return directory


@pytest.fixture(autouse=True)
def compiled_once(firmware, monkeypatch):
    """The firmware of all boards here."""

    def copied(to, *_):
        shutil.copytree(firmware, to, dirs_exist_ok=True)

    monkeypatch.setattr(board_module, "stage", copied)


@pytest.fixture
def release(keys):
    """A factory of small releases; what is given is not as it should be."""

    def make(files=FILES, key="r1", **head):
        lines = [f"{name} {value}" for name, value in (HEAD | head).items()]
        return keys.signed(compose("0.2.0", [*lines, ""], files), key)

    return make


@pytest.fixture
def serve():
    servers = []

    def make(behave):
        servers.append(updates.UpdateServer(behave))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


class Updating:
    """A board with an order, of whose boots the app is left out."""

    def __init__(self, flash, keys):
        self.flash = flash
        (flash / "data").mkdir(parents=True)
        shutil.copy(keys.directory / "keys", flash / "keys")
        root = (keys.directory / "root.modulus").read_text().strip()
        (flash / "store_root").write_text(root)
        settings = {"facility": "factory", "device_id": DEVICE, "broker": "::"}
        (flash / "settings.json").write_text(json.dumps(settings))
        self.printed = []

    def order(self, server, heap="144k", **more):
        """Until its boots have ended; gives what the status has of it."""
        named = {"version": "0.2.0", "url": server.directory, "tries": "0"} | more
        lines = "".join(f"{name} {value}\n" for name, value in named.items())
        install(self.flash, board_module.stage)
        slots.write(str(self.flash), "a")
        (self.flash / "data/ota").write_text(lines)
        before = self.hashes("a")
        board = VirtualBoard(None, Hardware(), self.flash, heap, UPDATER)
        self.printed = list(board.lines())
        self.boots = len(board.boots)
        board.close()
        assert self.hashes("a") == before
        return self.status()

    def status(self):
        """What the status has of the update."""
        path = self.flash / "store_ota"
        return path.read_text() if path.exists() else None

    def hashes(self, slot):
        """Path in a slot -> SHA-256."""
        return {
            path.relative_to(self.flash / slot).as_posix(): hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
            for path in (self.flash / slot).rglob("*")
            if path.is_file()
        }


@pytest.fixture
def updating(keys, tmp_path):
    return Updating(tmp_path / "flash", keys)


def ended(state, reason):
    """What the status then has."""
    said = {"state": state, "version": "0.2.0", "error": reason}
    return json.dumps(said, separators=(",", ":"))


def test_a_release_is_in_the_other_slot_and_on_trial(updating, serve, release):
    content = release()
    server = serve(updates.file(content))
    (updating.flash / "b/egiz_edge").mkdir(parents=True)
    (updating.flash / "b/egiz_edge/stranger.py").write_text("1")
    said = updating.order(server)
    assert '"state":"trial"' in said, updating.printed
    assert [updates.path_of(head) for head in server.requests] == ["/0.2.0.egz"]
    record = slots.read(str(updating.flash))
    assert record == ("a", "b", 3, "by order")
    expected = {path: hashlib.sha256(data).hexdigest() for path, data in FILES}
    held = updating.hashes("b")
    assert set(held) == {*expected, "release"}
    assert {path: held[path] for path in expected} == expected
    assert content.startswith((updating.flash / "b/release").read_bytes())


def _changed(content):
    return content.replace(b"version 0.2.0", b"version 0.2.1", 1)


BAD = {
    "tampered": (lambda make: _changed(make()), "wrong signature"),
    "a login page": (lambda _: b"<!DOCTYPE html>", "not a release"),
    "empty": (lambda _: b"", "not a release"),
    "for another board": (lambda make: make(target="esp32"), "for esp32, not linux"),
    "for another interpreter": (lambda make: make(mpy="7 0"), "needs .mpy 7 0"),
    "for another selector": (
        lambda make: make(boot="2"),
        "needs selector 2, not 1",
    ),
    "of lower security": (lambda make: make(security="1"), "security 1, below 2"),
    "of another version": (lambda make: make(version="0.3.0"), "it is version 0.3.0"),
    "with a path that leads out": (
        lambda make: make([("egiz_edge/../main.py", b"1")]),
        "line 9: no file of a slot",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_release_for_this_board_touches_no_file_of_a_slot(
    updating, serve, release, kind
):
    spoilt, reason = BAD[kind]
    (updating.flash / "b/egiz_edge").mkdir(parents=True)
    (updating.flash / "b/egiz_edge/app.mpy").write_text("the version before")
    (updating.flash / "b/release").write_text("it is whole")
    (updating.flash / "store_floor").write_text("2")
    before = updating.hashes("b")
    said = updating.order(serve(updates.file(spoilt(release))))
    assert said == ended("refused", reason)
    assert slots.read(str(updating.flash)) == ("a", "-", 0, "")
    after = updating.hashes("b")
    after.pop("release.new", None)
    assert after == before
    assert not (updating.flash / "data/ota").exists()
    assert (updating.flash / "store_floor").read_text() == "2"


WRONG = {
    "a redirect": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        "status 302",
    ),
    "nothing there": (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
    "endless lines of head": (
        b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 99,
        "more than 24 lines of head",
    ),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "sent in chunks",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_server_that_answers_wrongly_is_asked_three_times(updating, serve, kind):
    answer, reason = WRONG[kind]
    server = serve(updates.words(answer))
    said = updating.order(server)
    assert said == ended("failed", reason)
    assert len(server.requests) == 3
    assert slots.read(str(updating.flash)) == ("a", "-", 0, "")


def test_a_file_that_is_not_what_the_manifest_says_is_fetched_three_times(
    updating, serve, release
):
    content = bytearray(release())
    content[-9] ^= 1
    said = updating.order(serve(updates.file(bytes(content))))
    assert '"error":"damaged egiz_edge/app.mpy"' in said
    assert not (updating.flash / "b/release").exists()


def test_a_newer_key_set_is_fetched_where_a_release_names_a_new_key(tmp_path, serve):
    made = Releases(tmp_path / "keys")
    updating = Updating(tmp_path / "flash", made)
    root = made.directory / "root.pem"
    assert revoke(made.directory, "r1", root, PASSPHRASE) == 2
    lines = [f"{name} {value}" for name, value in (HEAD | {"keys": "2"}).items()]
    content = made.signed(compose("0.2.0", [*lines, ""], FILES), "r2")
    sets = (made.directory / "keys").read_bytes()

    def behave(connection, head):
        is_set = updates.path_of(head) == "/keys"
        updates.file(sets if is_set else content)(connection, head)

    server = serve(behave)
    assert '"state":"trial"' in updating.order(server)
    asked = [updates.path_of(head) for head in server.requests]
    assert asked == ["/0.2.0.egz", "/keys"]
    assert (updating.flash / "keys").read_bytes() == sets


def test_a_key_that_was_revoked_is_refused_once_the_order_names_the_new_set(
    tmp_path, serve
):
    made = Releases(tmp_path / "keys")
    updating = Updating(tmp_path / "flash", made)
    old = (made.directory / "keys").read_bytes()
    revoke(made.directory, "r1", made.directory / "root.pem", PASSPHRASE)
    sets = (made.directory / "keys").read_bytes()
    lines = [f"{name} {value}" for name, value in HEAD.items()]
    content = made.signed(compose("0.2.0", [*lines, ""], FILES), "r1")
    served = {"/keys": old, "/0.2.0.egz": content}

    def behave(connection, head):
        updates.file(served[updates.path_of(head)])(connection, head)

    server = serve(behave)
    said = updating.order(server, keys="2")  # whoever replays the old set
    assert said == ended("refused", "key set 1, older than 2")
    assert (updating.flash / "keys").read_bytes() == old
    served["/keys"] = sets
    said = updating.order(server, keys="2")
    assert said == ended("refused", "unknown or revoked key r1")
    assert (updating.flash / "keys").read_bytes() == sets


def _counted(behave, sent):
    """A server that says in `sent` how many bytes left it."""

    class Counting:
        def __init__(self, connection):
            self._connection = connection

        def sendall(self, data):
            sent.append(len(data))
            self._connection.sendall(data)

    return lambda connection, head: behave(Counting(connection), head)


def test_six_breaks_cost_less_than_a_quarter_of_the_bytes(
    updating, serve, firmware, keys
):
    content = keys.signed(pack(firmware, "0.2.0", "linux", security=3))
    sent = []
    cut = updates.file(content, cut_after=len(content) // 6)
    server = serve(_counted(cut, sent))
    said = updating.order(server)
    assert said == '{"state":"trial","version":"0.2.0"}', updating.printed
    assert 6 <= len(server.requests) - 1 <= 7
    assert sum(sent) <= 1.25 * len(content)


def test_a_file_that_was_changed_while_it_came_is_read_from_its_beginning(
    updating, serve, firmware, keys
):
    """The server's file is replaced between two connections."""
    content = keys.signed(pack(firmware, "0.2.0", "linux", security=3))
    changed = keys.signed(pack(firmware, "0.2.0", "linux", security=4))
    asked = []

    def behave(connection, head):
        asked.append(updates.first_byte(head))
        whole = content if len(asked) == 1 else changed
        cut_after = len(content) // 2 if len(asked) == 1 else 0
        updates.file(whole, cut_after=cut_after)(connection, head)

    said = updating.order(serve(behave))
    assert said == '{"state":"trial","version":"0.2.0"}', updating.printed
    held = (updating.flash / "b/release").read_bytes()
    assert held in (content[: len(held)], changed[: len(held)])


def test_an_update_of_the_whole_firmware_works_on_76_kb_of_heap(
    updating, serve, firmware, keys
):
    content = keys.signed(pack(firmware, "0.2.0", "linux", security=3))
    said = updating.order(serve(updates.file(content)), heap="76k")
    assert said == '{"state":"trial","version":"0.2.0"}', updating.printed
    assert updating.boots == 2  # no boot of the updater has failed
