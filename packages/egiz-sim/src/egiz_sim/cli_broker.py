"""The options of every command that connects: broker, files of TLS, facility."""

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from egiz_schema import explain
from egiz_schema.topics import is_facility

from egiz_sim.broker import Broker, TlsFiles

_Command = TypeVar("_Command", bound=Callable[..., None])
_OPTIONS = (
    click.option(
        "--broker",
        default="mqtt://localhost:1883",
        show_default=True,
        metavar="URL",
        help="mqtt[s]://[user@]host[:port]. Its password is EGIZ_SIM_MQTT_PASSWORD.",
    ),
    click.option(
        "--ca",
        metavar="FILE",
        help="Connect with TLS; certificate of the broker's authority, PEM or DER.",
    ),
    click.option(
        "--cert",
        metavar="FILE",
        help="Certificate of each device, PEM or DER. {device} stands for its id.",
    ),
    click.option(
        "--key",
        metavar="FILE",
        help="Key of that certificate, without a password; {device} as above.",
    ),
)


def broker_options(function: _Command) -> Callable[..., None]:
    """Give a command --broker, --ca, --cert and --key; it gets a `Broker`."""

    @functools.wraps(function)
    def with_broker(
        *, broker: str, ca: str | None, cert: str | None, key: str | None, **rest: Any
    ) -> None:
        tls = TlsFiles(ca, cert, key) if ca or cert or key else None
        password = os.environ.get("EGIZ_SIM_MQTT_PASSWORD")
        function(broker=broker_of("--broker", broker, password, tls), **rest)

    wrapped: Callable[..., None] = with_broker
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def facility_option(default: str, text: str) -> Callable[[_Command], _Command]:
    """--facility, which is checked."""
    return click.option(
        "--facility", default=default, show_default=True, callback=_facility, help=text
    )


def broker_of(
    option: str, url: str, password: str | None, tls: TlsFiles | None
) -> Broker:
    """A broker that an option names; what is wrong with it is wrong usage."""
    try:
        return Broker.from_url(url, password, tls)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _facility(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if not is_facility(text):
        raise click.UsageError(f"--facility {text!r}: {explain('bad_facility')}")
    return text
