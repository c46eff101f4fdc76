"""One GET by the device, from servers that do what servers do."""

import itertools
import signal
import socket
import ssl
import subprocess
import sys

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from egiz_edge_tools.release import make
from rig.process import free_port, own_program
from rig.releases import Releases
from rig.updates import UpdateServer, endless, file, first_byte, words
from rig.waiting import eventually

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
OK = b"HTTP/1.1 200 OK\r\n"
# Fetches a file, over as many GETs as it may; prints how each ended.
_DEVICE = """
import asyncio, os, sys
from egiz_edge.ota import fetch
url = sys.argv[1]
tries, fetch.STALL_MS, fetch.TOTAL_MS = map(int, sys.argv[2:5])
context = None
if len(sys.argv) > 5:
    from egiz_edge.tls import context
    made = context({"ca": sys.argv[5]})
    context = lambda: made

async def address_of(host):
    return "127.0.0.1" if host.startswith("localhost") else host

async def once(out, begin):
    download = fetch.Download(address_of, context)
    try:
        await download.open(url, begin)
        while True:
            piece = await download.read(500)
            if not piece:
                return "done"
            out.write(piece)
    except fetch.FetchError as error:
        return str(error)
    finally:
        await download.close()

async def main():
    with open("out", "ab") as out:
        for _ in range(tries):
            ended = await once(out, out.seek(0, 2))
            print(ended)
            if ended == "done":
                break

asyncio.run(main())
"""


@pytest.fixture
def serve():
    made = []

    def start(behave, context=None):
        made.append(UpdateServer(behave, context))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def fetch(micropython, firmware, tmp_path):
    """What the device has in the end, and how each GET ended."""

    def run(url, tries=1, stall_ms=20000, total_ms=60000, ca=None, heap="48k"):
        done = subprocess.run(
            [
                *(micropython.program, "-X", f"heapsize={heap}", "-c", _DEVICE, url),
                *(str(tries), str(stall_ms), str(total_ms), *([ca] if ca else [])),
            ],
            env={"MICROPYPATH": f"{firmware}:.frozen"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (tmp_path / "out").read_bytes(), done.stdout.splitlines()

    return run


def test_a_file_arrives_whole_by_one_request(serve, fetch):
    server = serve(file(CONTENT))
    assert fetch(server.url) == (CONTENT, ["done"])
    (request,) = server.requests
    host = f"127.0.0.1:{server.server_address[1]}"
    assert request == f"GET /1.egz HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()


@pytest.mark.parametrize("has_range", [True, False])
def test_what_broke_off_goes_on_where_it_was(serve, fetch, tmp_path, has_range):
    server = serve(file(CONTENT, has_range=has_range))
    (tmp_path / "out").write_bytes(CONTENT[:4321])
    assert fetch(server.url) == (CONTENT, ["done"])
    assert first_byte(server.requests[0]) == 4321


@pytest.mark.parametrize(
    ("program", "has_range"),
    [
        ([own_program("egiz-edge"), "serve", ".", "--listen", "127.0.0.1:PORT"], True),
        ([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "PORT"], False),
    ],
)
def test_what_broke_off_goes_on_from_servers_that_others_use(
    fetch, tmp_path, program, has_range
):
    directory, port = tmp_path / "updates", free_port()
    directory.mkdir()
    (directory / "1.egz").write_bytes(CONTENT)
    (tmp_path / "out").write_bytes(CONTENT[:4321])
    command = [word.replace("PORT", str(port)) for word in program]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as serving:
        try:
            eventually(lambda: _answers(port))
            assert fetch(f"http://127.0.0.1:{port}/1.egz") == (CONTENT, ["done"])
            line = b""
            while b"1.egz" not in line:  # it is written after the answer
                line = serving.stdout.readline()
        finally:
            serving.send_signal(signal.SIGINT)
            serving.communicate(timeout=60)
    assert (b" 206, " in line) == has_range


def _answers(port):
    with socket.create_connection(("127.0.0.1", port), 5):
        return True


def test_a_thousand_broken_answers_leave_the_heap_as_it_was(serve, fetch):
    answers = itertools.cycle(
        [b"", OK + b"A: b\r\n" * 30, OK + b"Content-Length: 9\r\n\r\nabc"]
    )
    server = serve(lambda connection, _: connection.sendall(next(answers)))
    _, ends = fetch(server.url, tries=1000, heap="32k")
    assert len(ends) == 1000
    assert len(set(ends)) >= 3


def test_a_release_arrives_whole_though_each_connection_breaks(
    serve, fetch, tmp_path, micropython, firmware
):
    releases = Releases(tmp_path / "keys")
    whole = releases.signed(make())
    server = serve(file(whole, cut_after=10000))
    found, ends = fetch(server.url, tries=20)
    assert found == whole
    breaks = range(10000, len(whole), 10000)
    broken = [f"broke off at {at} of {len(whole)}" for at in breaks]
    assert ends == [*broken, "done"]
    said = releases.on_device(micropython, firmware, [tmp_path / "out"], floor=0)
    assert said == ["sound"]


def test_a_server_that_closes_without_a_length_ends_the_file(serve, fetch):
    server = serve(words(OK + b"\r\n" + CONTENT))
    assert fetch(server.url) == (CONTENT, ["done"])


def test_a_head_that_arrives_in_pieces_and_ends_with_bare_newlines_is_read(
    serve, fetch
):
    head = b"HTTP/1.0 200 OK\nServer: x\nContent-Length:10240\n\n"
    server = serve(
        words(*(head[n : n + 1] for n in range(len(head))), CONTENT, b"more")
    )
    assert fetch(server.url) == (CONTENT, ["done"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "broke off in its head"),
        (b"HTTP/1.1 200", "broke off in its head"),
        (OK + b"Content-Length: 10\r\n", "broke off in its head"),
        (OK + b"Content-Length: 10\r\n\r\n", "broke off at 0 of 10"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://x/\r\n\r\n", "status 301"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n", "status 100"),
        (b"HTTP/1.1 206 Partial\r\n\r\n", "another part than was asked for"),
        (
            b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 9-10/20\r\n\r\n",
            "another part than was asked for",
        ),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\n", "sent in chunks"),
        (OK + b"A: b\r\n" * 24 + b"\r\n", "more than 24 lines of head"),
        (OK + b"A: " + b"b" * 600 + b"\r\n\r\n", "a line of head over 512 bytes"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 20\r\n\r\n", "no HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46\n", "no HTTP"),
        (b"\xff\xfe\n", "no HTTP"),
        (bytes(600), "a line of head over 512 bytes"),
    ],
)
def test_an_answer_that_is_none_ends_with_a_reason(serve, fetch, answer, reason):
    server = serve(words(answer))
    assert fetch(server.url) == (b"", [reason])
    assert len(server.requests) == 1


def test_another_part_or_a_shorter_file_than_before_is_not_mixed_with_what_is_there(
    serve, fetch, tmp_path
):
    (tmp_path / "out").write_bytes(b"x" * 100)
    part = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-99/100\r\n\r\n" + b"y" * 100
    found, ends = fetch(serve(words(part)).url)
    assert (found, ends) == (b"x" * 100, ["another part than was asked for"])
    short = OK + b"Content-Length: 5\r\n\r\nyyyyy"
    found, ends = fetch(serve(words(short)).url)
    assert (found, ends) == (b"x" * 100, ["the file is shorter than before"])


@pytest.mark.parametrize(
    ("begin", "piece", "reason"),
    [
        (b"", b"", "no answer in time"),
        (OK, b"", "no answer in time"),
        (OK + b"Content-Length: 10\r\n\r\nabc", b"", "no answer in time"),
        (b"", b"A: b\r\n", "no HTTP"),
        (OK, b"A: b\r\n", "more than 24 lines of head"),
        (OK, b"b", "a line of head over 512 bytes"),
    ],
)
def test_a_server_that_stalls_or_never_ends_costs_a_deadline_and_no_memory(
    serve, fetch, begin, piece, reason
):
    server = serve(endless(begin, piece, lambda: server.is_over))
    assert fetch(server.url, stall_ms=1500)[1] == [reason]


def test_a_server_that_drips_is_left_when_the_time_for_all_is_over(serve, fetch):
    begin = OK + b"Content-Length: 99999\r\n\r\n"
    server = serve(endless(begin, b"a", lambda: server.is_over))
    found, ends = fetch(server.url, total_ms=1500)
    assert ends == ["too slow"]
    assert set(found) <= {ord("a")}


@pytest.mark.parametrize(
    "url",
    [
        *("", "1.egz", "ftp://x/1.egz", "http://", "http:///1.egz", "http://a:b@x/"),
        *("http://x:0/", "http://x:65536/", "http://x:1e3/", "http://x/a b"),
        *("http://[::1]/", "http://x/\r\nA: b", "http://x\r\n/", "HTTP://x/"),
        "http://x:/",
    ],
)
def test_what_is_no_url_is_not_asked_for(fetch, url):
    assert fetch(url) == (b"", ["no URL of http or https"])


def test_a_server_that_is_not_there_is_a_reason(fetch):
    (reason,) = fetch(f"http://127.0.0.1:{free_port()}/1.egz")[1]
    assert reason.startswith("no server ("), reason


def _tls(authority, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def _der(authority, path):
    certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    path.write_bytes(certificate.public_bytes(Encoding.DER))
    return str(path)


def test_https_with_our_authority_and_no_other(serve, fetch, tmp_path):
    ours, other = trustme.CA(), trustme.CA()
    ca = _der(ours, tmp_path / "ca.der")
    sound = serve(file(CONTENT), _tls(ours, "localhost"))
    assert fetch(sound.url, ca=ca, heap="96k") == (CONTENT, ["done"])
    (tmp_path / "out").unlink()
    rooted = sound.url.replace("localhost", "localhost.")
    assert fetch(rooted, ca=ca, heap="96k") == (CONTENT, ["done"])
    (tmp_path / "out").unlink()
    for context in (_tls(other, "localhost"), _tls(ours, "other.lan")):
        (reason,) = fetch(serve(file(CONTENT), context).url, ca=ca, heap="96k")[1]
        assert reason.startswith("no server ("), reason
    (reason,) = fetch(sound.url)[1]
    assert reason == "https without a certificate authority"
    assert (tmp_path / "out").read_bytes() == b""
