"""The updater alone, on a virtual board without a broker."""

import hashlib
import json
import shutil
import ssl
import time

import egiz_edge_tools.virtual_board as board_module
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from egiz_edge import slots
from egiz_edge_tools.hardware import Hardware
from egiz_edge_tools.packing import compose, pack
from egiz_edge_tools.private_keys import revoke
from egiz_edge_tools.virtual_board import VirtualBoard
from egiz_edge_tools.virtual_flash import install
from rig import updates
from rig.device import DEVICE
from rig.releases import FILES, PASSPHRASE, Releases

pytestmark = pytest.mark.usefixtures("compiled_once")

# Without the selector and the app: it ends where one of them would run.
UPDATER = """
import egiz_edge.main  # which a boot has in its heap, too
from egiz_edge import slots
from egiz_edge.ota import boot
if not slots.is_on_trial(""):
    boot.run("", "/data")
"""
# The same in seconds, not minutes.
BRIEF = """
from egiz_edge.ota import fetch, install
fetch.STALL_MS, install.TOTAL_MS = 1000, 6000
"""
OK = b"HTTP/1.1 200 OK\r\n"
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

    def make(behave, context=None):
        servers.append(updates.UpdateServer(behave, context))
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

    def order(self, server, heap="144k", program=UPDATER, **more):
        """Until its boots have ended; gives what the status has of it."""
        named = {"version": "0.2.0", "url": server.directory, "tries": "0"} | more
        lines = "".join(f"{name} {value}\n" for name, value in named.items())
        install(self.flash, board_module.stage)
        slots.write(str(self.flash), "a")
        (self.flash / "data/ota").write_text(lines)
        before = self.hashes("a"), self.settings()
        board = VirtualBoard(None, Hardware(), self.flash, heap, program)
        self.printed = list(board.lines())
        self.boots = len(board.boots)
        board.close()
        assert (self.hashes("a"), self.settings()) == before
        return self.status()

    def settings(self):
        """What was provisioned."""
        return (self.flash / "settings.json").read_text()

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


def _unsigned(**head):
    lines = [f"{name} {value}" for name, value in (HEAD | head).items()]
    return compose("0.2.0", [*lines, ""], FILES)


def _long(make):
    """A manifest of 100,000 lines."""
    return make([(f"egiz_edge/m{number:06}.mpy", b"") for number in range(100000)])


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
    "with an unknown key": (
        lambda _: _unsigned().signed("r9", bytes(384)),
        "unknown or revoked key r9",
    ),
    "with a signature of 256 bytes": (
        lambda _: _unsigned().signed("r1", bytes(256)),
        "its first line is damaged",
    ),
    "without a signature": (lambda _: _unsigned().signed(), "not signed"),
    "with a signature of zeros": (
        lambda _: _unsigned().signed("r1", bytes(384)),
        "wrong signature",
    ),
    "for a key set that is nowhere": (
        lambda make: make(keys="2"),
        "needs key set 2, not 1",
    ),
    "with a file twice": (
        lambda make: make([FILES[0], FILES[0]]),
        "line 10 is damaged",
    ),
    "of 100,000 files": (_long, "not a release"),
    "of no file": (lambda make: make([]), "0 files"),
}
PATHS = (
    "/egiz_edge/app.mpy",
    "settings.json",
    "release",
    "/slot",
    "main.py",
    "data/boots",
)
BAD |= {
    f"with the path {path}": (
        lambda make, path=path: make([(path, b"1")]),
        "line 9: no file of a slot",
    )
    for path in PATHS
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
    "a part that was not asked for": (
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 9-99/100\r\n\r\n",
        "another part than was asked for",
    ),
    "an error of its own": (b"HTTP/1.1 500 Oops\r\n\r\n<html>", "status 500"),
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


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: content[:500], "cut short"),  # within its manifest
        (lambda content: content[:-1], "cut short"),
        (lambda content: content + b"1", "too long"),
    ],
    ids=["half a manifest", "a byte lacks", "a byte more"],
)
def test_a_file_of_another_length_than_its_manifest_says_touches_no_file_of_a_slot(
    updating, serve, release, spoil, reason
):
    (updating.flash / "b/egiz_edge").mkdir(parents=True)
    (updating.flash / "b/egiz_edge/app.mpy").write_text("the version before")
    (updating.flash / "b/release").write_text("it is whole")
    before = updating.hashes("b")
    server = serve(updates.file(spoil(release())))
    assert updating.order(server) == ended("failed", reason)
    assert len(server.requests) == 3
    assert updating.hashes("b") | {"release.new": 0} == before | {"release.new": 0}


# What a server sends at once, what again and again, and every how many seconds.
SLOW = {
    "says nothing": (b"", b"", 1, "no answer in time"),
    "stalls in its head": (OK, b"", 1, "no answer in time"),
    "stalls in the file": (
        OK + b"Content-Length: 9000\r\n\r\negz1 r1 384 400\n" + bytes(384),
        b"",
        1,
        "no answer in time",
    ),
    "drips": (
        OK + b"Content-Length: 9000\r\n\r\negz1 r1 384 400\n",
        b"a",
        0.2,
        "too slow",
    ),
    "has a head without end": (OK, b"A: b\r\n", 0.01, "more than 24 lines of head"),
    "has a line without end": (OK, b"b" * 50, 0.01, "a line of head over 512 bytes"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_server_that_has_no_end_costs_a_bounded_time(updating, serve, kind):
    begin, piece, every_s, reason = SLOW[kind]
    server = serve(updates.endless(begin, piece, lambda: server.is_over, every_s))
    began = time.monotonic()
    said = updating.order(server, program=BRIEF + UPDATER)
    assert said == ended("failed", reason), updating.printed
    assert time.monotonic() - began < 30  # 6 s, and what a busy machine needs
    assert slots.read(str(updating.flash)) == ("a", "-", 0, "")
    assert not (updating.flash / "data/ota").exists()


def test_the_reason_is_the_last_answer_also_where_the_time_ends_before_the_third(
    updating, serve
):
    server = serve(updates.words(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"))
    brief = "import egiz_edge.ota.install\negiz_edge.ota.install.TOTAL_MS = 2500\n"
    said = updating.order(server, program=brief + UPDATER)
    assert said == ended("failed", "status 503"), updating.printed
    assert len(server.requests) < 3


def test_a_server_that_ignores_the_range_costs_bytes_and_no_update(
    updating, serve, release
):
    content = release([*FILES[:2], ("egiz_edge/large.mpy", bytes(20000)), *FILES[2:]])

    def behave(connection, head):
        is_first = len(server.requests) == 1
        cut_after = len(content) - 5000 if is_first else 0
        updates.file(content, has_range=False, cut_after=cut_after)(connection, head)

    server = serve(behave)
    assert '"state":"trial"' in updating.order(server), updating.printed
    assert len(server.requests) == 2
    assert updates.first_byte(server.requests[1]) > 0


def test_a_server_that_sends_another_range_is_not_believed(updating, serve, release):
    content = release([*FILES[:2], ("egiz_edge/large.mpy", bytes(20000)), *FILES[2:]])
    wrong = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-99/100\r\n\r\n"

    def behave(connection, head):
        if updates.first_byte(head):
            connection.sendall(wrong + bytes(92))
        else:
            updates.file(content, cut_after=len(content) - 5000)(connection, head)

    said = updating.order(serve(behave))
    assert said == ended("failed", "another part than was asked for")
    assert not (updating.flash / "b/release").exists()


def test_a_foreign_key_of_the_same_name_is_refused(updating, serve, tmp_path):
    other = Releases(tmp_path / "others")
    content = other.signed(_unsigned())
    said = updating.order(serve(updates.file(content)))
    assert said == ended("refused", "wrong signature")


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


def _tls(authority, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def with_authority(updating):
    """A factory: the device trusts this authority, as it does for its broker."""

    def make(authority):
        certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
        der = certificate.public_bytes(Encoding.DER)
        (updating.flash / "ca.der").write_bytes(der)
        settings = json.loads(updating.settings()) | {"tls": {"ca": "ca.der"}}
        (updating.flash / "settings.json").write_text(json.dumps(settings))

    return make


def test_an_update_over_https_trusts_the_authority_of_the_device(
    updating, serve, firmware, keys, with_authority
):
    """The whole firmware, on a heap that has little more than it needs."""
    authority = trustme.CA()
    with_authority(authority)
    content = keys.signed(pack(firmware, "0.2.0", "linux", security=3))
    server = serve(updates.file(content), _tls(authority, "localhost"))
    said = updating.order(server, heap="75k")
    assert said == '{"state":"trial","version":"0.2.0"}', updating.printed
    assert updating.boots == 2


@pytest.mark.parametrize(
    ("name", "is_ours", "reason"),
    [
        ("localhost", False, "is not correctly signed by the truste"),
        ("another.example", True, "Common Name (CN) does not match with "),
    ],
)
def test_a_server_with_a_certificate_that_does_not_fit_gets_no_request(
    updating, serve, with_authority, name, is_ours, reason
):
    authority = trustme.CA()
    with_authority(authority)
    issuer = authority if is_ours else trustme.CA()
    server = serve(updates.file(b""), _tls(issuer, name))
    said = updating.order(server)
    # As long as the contract lets a reason be.
    assert said == ended("failed", "no server (The certificate " + reason)
    assert server.requests == []
    assert slots.read(str(updating.flash)) == ("a", "-", 0, "")


def test_https_without_an_authority_is_said_and_not_asked(updating, serve, release):
    server = serve(updates.file(release()), _tls(trustme.CA(), "localhost"))
    said = updating.order(server)
    reason = "settings.json: tls: cannot be used, it needs a ca"
    assert said == ended("failed", reason)
    assert server.requests == []


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
    print(f"{sum(sent) / len(content):.2f}")  # noqa: T201  # the figure
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


def test_an_update_of_the_whole_firmware_works_on_72_kb_of_heap(
    updating, serve, firmware, keys
):
    content = keys.signed(pack(firmware, "0.2.0", "linux", security=3))
    said = updating.order(serve(updates.file(content)), heap="72k")
    assert said == '{"state":"trial","version":"0.2.0"}', updating.printed
    assert updating.boots == 2  # no boot of the updater has failed
