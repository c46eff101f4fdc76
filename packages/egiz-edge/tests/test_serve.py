"""`egiz-edge serve`: what clients of every kind get, and what stays where it is."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import urllib.request

import pytest
import trustme
from rig.process import own_program
from rig.waiting import eventually

CONTENT = bytes(range(256)) * 200  # 51,200 bytes
SECRETS = ["r1.pem", "root.modulus", "0.1.0.manifest", "keys.new", ".egz", "passphrase"]


class Serving:
    """The program, in a directory with a release, a key set and what is secret."""

    def __init__(self, directory, *options):
        (directory / "sub").mkdir()
        for name in ("0.1.0.egz", "sub/0.2.0.egz"):
            (directory / name).write_bytes(CONTENT)
        (directory / "keys").write_bytes(b"egk1")
        for name in SECRETS:
            (directory / name).write_text("secret")
        (directory.parent / "outside.egz").write_text("secret")
        self.process = subprocess.Popen(
            [
                own_program("egiz-edge"),
                "serve",
                ".",
                "--listen",
                "127.0.0.1:0",
                *options,
            ],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first = self.process.stdout.readline()
        self.url = self.first.partition(": ")[0]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def get(self, path, method="GET", **headers):
        """(status, body, headers), the path as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def send(self, content):
        """All that comes back for these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
            found = b""
            # A server that has seen enough may close before it has read everything.
            with contextlib.suppress(ConnectionError):
                connection.sendall(content)
                with contextlib.suppress(OSError):  # ENOTCONN: it has closed
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    found += piece
            return found

    def lines(self, count):
        """The next lines; one comes when its request is answered."""
        return [self.process.stdout.readline().rstrip("\n") for _ in range(count)]

    def stop(self):
        """(exit code, standard error) after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        errors = self.process.communicate(timeout=60)[1]
        return self.process.returncode, errors


@pytest.fixture
def serve(tmp_path):
    made = []

    def start(*options):
        directory = tmp_path / f"serving-{len(made)}" / "updates"
        directory.mkdir(parents=True)
        made.append(Serving(directory, *options))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate()


def test_a_release_is_served_whole_or_from_a_byte_on_and_each_request_is_a_line(serve):
    serving = serve()
    assert serving.first == f"{serving.url}: 1 releases of .; Ctrl-C ends it\n"
    lines = []  # each is read before the next request: they have threads of their own
    status, body, headers = serving.get("/0.1.0.egz")
    lines += serving.lines(1)
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Length"] == "51200"
    assert headers["Accept-Ranges"] == "bytes"
    status, body, headers = serving.get("/0.1.0.egz", Range="bytes=10000-")
    lines += serving.lines(1)
    assert (status, body) == (206, CONTENT[10000:])
    assert headers["Content-Range"] == "bytes 10000-51199/51200"
    assert serving.get("/keys")[:2] == (200, b"egk1")
    lines += serving.lines(1)
    assert [line.split("  ", 1)[1] for line in lines] == [
        "127.0.0.1  GET 0.1.0.egz  200, 51,200 bytes from 0 of 51,200",
        "127.0.0.1  GET 0.1.0.egz  206, 41,200 bytes from 10,000 of 51,200",
        "127.0.0.1  GET keys  200, 4 bytes from 0 of 4",
    ]
    assert serving.stop() == (0, "")


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        ("bytes=0-", 200, 0, 51200),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=51199-", 206, 51199, 51200),
        ("bytes=5-99999999", 206, 5, 51200),
        ("bytes=51200-", 416, 0, 0),
        ("bytes=9-5", 200, 0, 51200),
        ("bytes=1-2,5-6", 200, 0, 51200),
        ("bytes=-5", 200, 0, 51200),
        ("bytes=1e3-", 200, 0, 51200),
        ("lines=1-", 200, 0, 51200),
        ("bytes=" + "9" * 5000 + "-", 200, 0, 51200),
    ],
)
def test_a_range_is_what_was_asked_for_or_else_all_of_it(
    ranges, asked, status, begin, end
):
    found, body, headers = ranges.get("/0.1.0.egz", Range=asked)
    assert (found, body) == (status, CONTENT[begin:end])
    if status == 416:
        assert headers["Content-Range"] == "bytes */51200"


@pytest.fixture(scope="module")
def ranges(tmp_path_factory):
    directory = tmp_path_factory.mktemp("serving") / "updates"
    directory.mkdir()
    serving = Serving(directory)
    yield serving
    serving.process.kill()
    serving.process.communicate()


@pytest.mark.parametrize(
    "path",
    [f"/{name}" for name in SECRETS]
    + ["/", "//", "/../outside.egz", "/%2e%2e/outside.egz", "/sub/0.2.0.egz"]
    + ["/./0.1.0.egz", "/..", "/sub", "/0.1.0.egz/", "/\\..\\outside.egz", "/a\0.egz"]
    + ["/" + "a" * 5000 + ".egz", "/keys/", "/KEYS", "http://x/0.1.0.egz"],
)
def test_nothing_else_leaves_the_directory(ranges, path):
    line = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = ranges.send(line.encode("latin-1"))
    refused = (b"HTTP/1.1 404", b"HTTP/1.1 400", b"<!DOCTYPE")
    assert answer.startswith(refused), answer
    assert b"secret" not in answer


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00" + bytes(500),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /keys HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /keys HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /keys HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"\x1b[2J" * 100 + b"\r\n\r\n",
        bytes(600),
    ],
)
def test_junk_is_answered_by_no_file_and_the_next_client_is_served(ranges, junk):
    answer = ranges.send(junk)
    # A page of an error without a head, where no version was understood.
    assert answer[:9] in {b"", b"HTTP/1.1 ", b"<!DOCTYPE"}
    assert b"egk1" not in answer
    assert ranges.get("/keys")[:2] == (200, b"egk1")


def test_what_clients_send_is_shown_without_control_characters(serve):
    serving = serve()
    serving.send(b"GET /\x1b]0;x\x07\x1b[2J HTTP/1.1\r\n\r\n")
    serving.send(b"\x1b[2J\x1b[2J\r\n\r\n")
    serving.send(bytes(70000))
    lines = serving.lines(3)
    assert all(line.isprintable() and "127.0.0.1" in line for line in lines), lines
    assert serving.stop() == (0, "")


def test_a_client_that_leaves_is_a_line_and_others_are_served_beside_idle_ones(serve):
    serving = serve()
    where = ("127.0.0.1", serving.port)
    idle = [socket.create_connection(where, 60) for _ in range(20)]
    assert serving.get("/keys", "HEAD")[:2] == (200, b"")
    for one in idle:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()  # with a RST
    assert serving.get("/0.1.0.egz")[0] == 200
    assert serving.stop() == (0, "")


def test_a_release_that_is_replaced_during_a_download_arrives_as_it_was(tmp_path):
    directory = tmp_path / "updates"
    directory.mkdir()
    serving = Serving(directory)
    try:
        big = bytes(8_000_000)
        (directory / "9.egz").write_bytes(big)
        with urllib.request.urlopen(f"{serving.url}9.egz", timeout=60) as answer:
            found = answer.read(1000)
            (directory / "new").write_bytes(b"x" * 8_000_000)
            (directory / "new").replace(directory / "9.egz")
            found += answer.read()
        assert found == big
    finally:
        assert serving.stop()[0] == 0


def test_https_with_a_certificate_and_its_key(serve, tmp_path):
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = ["--cert", tmp_path / "cert.pem", "--cert-key", tmp_path / "key.pem"]
    serving = serve("--tls", *map(str, files))
    assert serving.url.startswith("https://")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # of stock MicroPython
    waiting = socket.create_connection(("127.0.0.1", serving.port), 60)  # no handshake
    url = f"{serving.url}0.1.0.egz"
    with urllib.request.urlopen(url, context=context, timeout=60) as answer:
        assert answer.read() == CONTENT
    assert not serving.send(b"GET /keys HTTP/1.1\r\n\r\n").startswith(b"HTTP")
    waiting.close()
    assert any("200, 51,200 bytes" in line for line in serving.lines(2))
    assert serving.stop() == (0, "")


def test_what_is_no_directory_is_not_served(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/null"):
        command = [own_program("egiz-edge"), "serve", path, "--listen", "127.0.0.1:0"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert f"DIR {path}: is no directory" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--tls", 2, "cert.pem: No such file"),
        ("--tls --cert 0.1.0.egz --cert-key keys", 2, "not a certificate in PEM"),
        ("--cert keys", 2, "need --tls"),
        ("--listen 8000", 2, "must be HOST:PORT"),
        ("--listen 127.0.0.1:65536", 2, "must be HOST:PORT"),
        ("--listen 192.0.2.1:8000", 1, "--listen 192.0.2.1:8000: "),
    ],
)
def test_what_cannot_be_served_is_a_sentence(tmp_path, options, code, words):
    (tmp_path / "0.1.0.egz").write_bytes(CONTENT)
    (tmp_path / "keys").write_bytes(CONTENT)
    done = subprocess.run(
        [own_program("egiz-edge"), "serve", ".", *options.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_no_program_reads_any_more_ends_it(serve):
    serving = serve()
    serving.process.stdout.close()

    def is_over():
        with contextlib.suppress(OSError):
            serving.get("/keys")
        return serving.process.poll() is not None

    eventually(is_over, timeout=30)
    assert serving.process.returncode == 141
    assert serving.process.stderr.read() == ""
    serving.process.stdout = None
