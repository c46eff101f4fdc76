"""`egiz-bridge probe`, and how commands ask the bridge that runs."""

import sys
from pathlib import Path
from typing import Any

import click
import urllib3
from urllib3.exceptions import HTTPError

from egiz_bridge.cli.spool import EXIT_CONFIG, config_option
from egiz_bridge.config.settings import load
from egiz_bridge.errors import ConfigError

EXIT_NOT_WELL = 1
_TIMEOUT_S = 10.0


@click.command()
@config_option
@click.option("--alive", is_flag=True, help="Only whether it gets on, as /healthz.")
def probe(config: Path | None, *, alive: bool) -> None:
    """Ask the running bridge how it is: for health checks of containers and scripts.

    It is well when it is subscribed and every sink takes writes.

    \b
    Exit codes: 0 it is well, 1 it is not (or does not answer), 2 the configuration is
    wrong.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    told = asked(config, "/healthz" if alive else "/readyz")
    for problem in told["problems"]:
        click.echo(problem, err=True)
    if told["problems"]:
        sys.exit(EXIT_NOT_WELL)
    click.echo("all is well")


def asked(config: Path | None, path: str) -> Any:
    """What the running bridge answers; without one, a sentence and the end."""
    try:
        host, port = load(config).http.address
    except ConfigError as fault:
        click.echo(str(fault), err=True)
        sys.exit(EXIT_CONFIG)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        answer = urllib3.request("GET", url + path, timeout=_TIMEOUT_S, retries=False)
        return answer.json()
    except (HTTPError, OSError, ValueError) as fault:
        click.echo(f"http.listen: no bridge answers at {url}: {fault}", err=True)
        sys.exit(EXIT_NOT_WELL)
