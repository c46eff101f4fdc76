"""`egiz-bridge probe`, and how commands ask the bridge that runs."""

import time
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import click
import msgspec
import urllib3
from egiz_cli import DONE, FAILED, command
from urllib3.exceptions import HTTPError

from egiz_bridge.cli.shared import config_option, exit_for, load_settings

_TIMEOUT_S = 10.0  # of each part
_TOTAL_S = 30.0
# As many devices as are counted need a third.
_BYTES_MAX = 64 * 1024**2
_STATUSES = (200, 503)
Answer = TypeVar("Answer")


@command(
    exit_codes={
        DONE: "it works",
        FAILED: "it does not work, or does not answer; the reason is printed",
    },
)
@config_option
@click.option("--alive", is_flag=True, help="Only whether it makes progress.")
def probe(config: Path | None, *, alive: bool) -> None:
    """Ask the running bridge whether it works, for health checks.

    It works when it is subscribed and every sink accepts writes, as /readyz has it;
    with --alive, when its threads make progress, as /healthz has it.

    \b
      egiz-bridge probe --config bridge.toml && echo "the bridge works"
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    answer = ask_bridge(config, "/healthz" if alive else "/readyz", Problems)
    if answer.problems:
        raise exit_for(answer.problems, FAILED)
    click.echo("all is well")


class Problems(msgspec.Struct):
    """What /healthz and /readyz answer."""

    ok: bool
    problems: list[str]


def ask_bridge(config: Path | None, path: str, kind: type[Answer]) -> Answer:
    """What the running bridge answers; without one, a sentence and the end."""
    url = base_url(*load_settings(config).http.address)
    try:
        return fetch(url + path, kind)
    except (HTTPError, OSError, ValueError) as error:
        sentence = f"http.listen: no bridge answers at {url}: {error}"
        raise exit_for([sentence], FAILED) from None


def base_url(host: str, port: int) -> str:
    """The address of http.listen as a URL."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def fetch(url: str, kind: type[Answer]) -> Answer:
    """What a bridge says at a URL; something else may listen there.

    Raises:
        HTTPError, OSError, ValueError: it is no such answer.
    """
    answer = urllib3.request(
        "GET", url, timeout=_TIMEOUT_S, retries=False, preload_content=False
    )
    with closing(answer):
        if answer.status not in _STATUSES:
            raise ValueError(f"HTTP {answer.status}")
        body = _bounded(answer)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"the answer is not a bridge's: {error}") from None


def _bounded(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The body of an answer that has an end."""
    body = bytearray()
    until_s = time.monotonic() + _TOTAL_S
    for part in answer.stream(64 * 1024):
        body += part
        if len(body) > _BYTES_MAX or time.monotonic() > until_s:
            raise ValueError("the answer has no end")
    return bytes(body)
