"""`egiz-bridge probe`, and how commands ask the bridge that runs."""

from pathlib import Path
from typing import Any

import click
import urllib3
from egiz_cli import DONE, FAILED, command
from urllib3.exceptions import HTTPError

from egiz_bridge.cli.shared import config_option, exit_for, load_settings

_TIMEOUT_S = 10.0


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
    answer = get_json(config, "/healthz" if alive else "/readyz")
    if answer["problems"]:
        raise exit_for(answer["problems"], FAILED)
    click.echo("all is well")


def get_json(config: Path | None, path: str) -> Any:
    """What the running bridge answers; without one, a sentence and the end."""
    url = base_url(*load_settings(config).http.address)
    try:
        return fetch_json(url + path)
    except (HTTPError, OSError, ValueError) as error:
        sentence = f"http.listen: no bridge answers at {url}: {error}"
        raise exit_for([sentence], FAILED) from None


def base_url(host: str, port: int) -> str:
    """The address of http.listen as a URL."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def fetch_json(url: str) -> Any:
    """The document at a URL.

    Raises:
        HTTPError, OSError, ValueError: there is none.
    """
    answer = urllib3.request("GET", url, timeout=_TIMEOUT_S, retries=False)
    return answer.json()
