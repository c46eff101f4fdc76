"""What the commands share: where the files are, and how errors are shown."""

import functools
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import click
from egiz_schema.orders import split_host_port

from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout, write
from egiz_infra.running import Running

_P = ParamSpec("_P")
_R = TypeVar("_R")

DAYS_MAX = 365 * 100
_NAME_MAX = 64
_READABLE = 0o644  # metrics: a user without rights reads them

days_option = click.option(
    "--days",
    default=730,
    show_default=True,
    type=click.IntRange(1, DAYS_MAX),
    help="For how long it is valid; never longer than the authority.",
)
pass_layout = click.make_pass_decorator(Layout)


def check_name(_context: click.Context, parameter: click.Parameter, text: str) -> str:
    """What X.509 can hold as a common name, and a file's name as well."""
    if not 0 < len(text) <= _NAME_MAX or not text.isprintable() or "/" in text:
        raise click.BadParameter(
            f"must be 1 to {_NAME_MAX} printable characters without /", param=parameter
        )
    return text


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# No top level is a number: such a text is an IP address with a slip.
_HOST = re.compile(rf"(?!(?:.*\.)?[0-9]+\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)


def check_host(
    _context: click.Context, parameter: click.Parameter, given: str | tuple[str, ...]
) -> str | tuple[str, ...]:
    """A host name or an IP address, or several of them: what a client connects by."""
    for text in (given,) if isinstance(given, str) else given:
        if len(text) > _NAME_MAX or not (_HOST.fullmatch(text) or _is_ip(text)):
            what = f"host name or IP address of up to {_NAME_MAX} characters"
            raise click.BadParameter(f"{text!r} is no {what}", param=parameter)
    return given


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def translate_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a sentence of what a person can mend."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except InfraError as error:
            raise click.ClickException(str(error)) from None

    return run


def write_readable(path: Path, text: str) -> None:
    """Replace a file of metrics in one step.

    A link is not followed, as its directory may be another user's; nor is it replaced,
    nor a pipe: it may be one that the whole machine needs, as /dev/stdout.

    Raises:
        InfraError: if it cannot be written, or is there and no regular file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InfraError(f"{path} is a link or no file: name a regular file")
    write(path, text.encode(), mode=_READABLE)


class Target(NamedTuple):
    """The running broker, as the options name it."""

    reload: str
    services: tuple[str, int]
    devices: tuple[str, int]
    mosquitto: str
    devices_tls12: tuple[str, int] | None

    def running(self, layout: Layout) -> Running:
        """As the rest of the package needs it."""
        return Running(layout, *self)


def with_target(command: Callable[..., _R]) -> Callable[..., _R]:
    """Add the options that say where the broker runs; the command gets `target`."""

    @_reload
    @_services
    @_devices
    @_devices_tls12
    @_mosquitto
    @functools.wraps(command)
    def run(
        *args: object,
        reload: str,
        services: tuple[str, int],
        devices: tuple[str, int],
        mosquitto: str,
        devices_tls12: tuple[str, int] | None,
        **kwargs: object,
    ) -> _R:
        target = Target(reload, services, devices, mosquitto, devices_tls12)
        return command(*args, target=target, **kwargs)

    return run


def _address(
    _context: click.Context, parameter: click.Parameter, text: str
) -> tuple[str, int]:
    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None
    if port is None:
        raise click.BadParameter("no port; write host:port", param=parameter)
    return host, port


def _address_or_off(
    context: click.Context, parameter: click.Parameter, text: str
) -> tuple[str, int] | None:
    return None if text == "off" else _address(context, parameter, text)


_reload = click.option(
    "--reload",
    envvar="EGIZ_RELOAD",
    default="systemctl reload mosquitto",
    show_default=True,
    show_envvar=True,
    help="Command that sends the broker SIGHUP; for compose: 'docker compose kill -s"
    " HUP mosquitto'.",
)
_services = click.option(
    "--services",
    envvar="EGIZ_SERVICES",
    default="127.0.0.1:1883",
    show_default=True,
    show_envvar=True,
    callback=_address,
    help="The listener with passwords.",
)
_devices = click.option(
    "--devices",
    envvar="EGIZ_DEVICES",
    default="127.0.0.1:8883",
    show_default=True,
    show_envvar=True,
    callback=_address,
    help="The listener with certificates.",
)
_devices_tls12 = click.option(
    "--devices-tls12",
    envvar="EGIZ_DEVICES_TLS12",
    default="127.0.0.1:8884",
    show_default=True,
    show_envvar=True,
    callback=_address_or_off,
    help="The second listener with certificates, and the switch for TLS 1.2: off, if"
    " the broker must refuse that.",
)
_mosquitto = click.option(
    "--mosquitto",
    envvar="EGIZ_MOSQUITTO",
    default="/usr/sbin/mosquitto",
    show_default=True,
    show_envvar=True,
    help="Program that checks the access list before the broker reads it; '' for none.",
)
