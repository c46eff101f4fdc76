"""`egiz-edge build`, `deploy`, `monitor` and `doctor`: what a real board needs."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from egiz_cli import DONE, FAILED, INTERRUPTED, InputFile, Unusable, command
from egiz_cli.tls_files import context
from egiz_edge.ota.signed import Refused

from egiz_edge_tools.broker import PASSWORD_VARIABLE, Broker
from egiz_edge_tools.bundle import ARCHITECTURES, build, unpack
from egiz_edge_tools.errors import (
    BundleError,
    PortError,
    ReleaseError,
    SettingsError,
    ToolError,
)

GENERAL = 0xF8  # any meter answers to it

BROKER_HELP = f"mqtt://[user@]host[:port]. The password comes from {PASSWORD_VARIABLE}."


def broker_option(
    _context: click.Context, _parameter: click.Parameter, url: str | None
) -> Broker | None:
    """The callback of a --broker."""
    try:
        return None if url is None else Broker.parse(url)
    except ValueError as error:
        raise click.UsageError(f"--broker: {error}") from None


ca_option = click.option(
    "--ca",
    type=InputFile(dir_okay=False),
    metavar="FILE",
    help="Connect with TLS; certificate of the broker's authority, PEM or DER.",
)
cert_option = click.option(
    "--cert",
    type=InputFile(dir_okay=False),
    metavar="FILE",
    help="Certificate of the device, PEM or DER. Needs --key.",
)
key_option = click.option(
    "--key",
    type=InputFile(dir_okay=False),
    metavar="FILE",
    help="Key of that certificate, without a password, PEM or DER.",
)
_arch = click.option(
    "--arch",
    default="xtensawin",
    show_default=True,
    type=click.Choice(list(ARCHITECTURES)),
    help="; ".join(f"{arch}: {chips}" for arch, chips in ARCHITECTURES.items()) + ".",
)
_port = click.option(
    "--port",
    required=True,
    metavar="PORT",
    help="Serial port of the board, as /dev/ttyUSB0; `egiz-edge doctor` lists them.",
)


@command("build", exit_codes={DONE: "the bundle is made"})
@_arch
@click.option(
    "--out",
    default="bundle",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the bundle; an older bundle there is replaced.",
)
def build_command(arch: str, out: Path) -> None:
    """Compile the firmware into a bundle of .mpy files.

    Its file `release` has the size and SHA-256 of each file. The same sources give the
    same bytes.

    \b
      egiz-edge build --arch xtensawin --out bundle
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    with _translate_errors():
        bundle = build(out, arch)
    click.echo(
        f"{out}: firmware {bundle.version} for {arch},"
        f" {len(bundle.files)} files, {bundle.size:,} bytes"
    )


@command(
    "deploy",
    exit_codes={
        DONE: "the board runs the firmware",
        FAILED: "the board cannot be reached, or the copy failed",
    },
)
@_port
@click.option(
    "--bundle",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that `build` made. Default: one that is made now.",
)
@_arch
@click.option(
    "--release",
    type=InputFile(dir_okay=False),
    help="File that `release` made, signed or not, in place of a bundle.",
)
@click.option(
    "--settings",
    type=InputFile(dir_okay=False),
    help="JSON file: facility, device_id, broker, wifi_ssid, wifi_password, and what"
    " else the README lists; DER files of TLS lie beside it. Default: the board's own.",
)
@click.option(
    "--keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory with `keys` and `root.modulus`, as `keygen` makes them: the device"
    " verifies releases with them. Default: the board's own.",
)
def deploy_command(
    port: str,
    bundle: Path | None,
    arch: str,
    release: Path | None,
    settings: Path | None,
    keys: Path | None,
) -> None:
    """Copy the firmware to a board, and start it.

    It goes into the slot that does not run. Only files that differ are copied. The
    board checks their SHA-256, and runs them when all have arrived: until then the old
    firmware is whole. After an interruption, give the same command again.

    \b
      egiz-edge deploy --port /dev/ttyUSB0 --settings settings.json
    """  # noqa: D301  # as above
    from egiz_edge_tools.deploy import deploy  # noqa: PLC0415  # so that --help is quick

    if release and bundle:
        raise click.UsageError("--release and --bundle: give one of them")
    with _translate_errors(), _bundle(bundle, release, arch) as directory:
        try:
            deploy(directory, port, settings, keys, click.echo)
        except KeyboardInterrupt:
            click.echo(
                "\nInterrupted. The old firmware is as it was, but stopped: deploy"
                " again, or press the board's EN button.",
                err=True,
            )
            raise click.exceptions.Exit(INTERRUPTED) from None


@command(
    "monitor",
    exit_codes={
        DONE: "ended with Ctrl-C",
        FAILED: "the board cannot be reached, or has gone",
    },
)
@_port
def monitor_command(port: str) -> None:
    """Show what a board prints, with the time. Ctrl-C ends it.

    The firmware is not disturbed: nothing is sent to the board.

    \b
      egiz-edge monitor --port /dev/ttyUSB0
    """  # noqa: D301  # as above
    from egiz_edge_tools.monitor import monitor  # noqa: PLC0415  # as above

    with _translate_errors(), contextlib.suppress(KeyboardInterrupt):
        monitor(port, click.echo)


@command(
    "label",
    exit_codes={
        DONE: "the label is made or read, and its picture written",
        FAILED: "the board cannot be reached, or the file not written",
    },
)
@_port
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="SVG to print, with a QR code for the camera of a phone. Needs the extra"
    " egiz-edge[label]. It has the key: no one else may read the file.",
)
def label_command(port: str, out: Path | None) -> None:
    """Make the label of a board, once, and show it.

    With a label, a board without settings opens a Wi-Fi network of its own, and a page
    on which a phone gives it some. The name and the key of that network and the PIN of
    the page are made on the board and stay on it: the next time they are the same.

    \b
      egiz-edge label --port /dev/ttyUSB0 --out label.svg
    """  # noqa: D301  # as above
    from egiz_edge_tools.label import label_of, picture  # noqa: PLC0415  # as above

    with _translate_errors():
        label = label_of(port)
        for line in label.lines:
            click.echo(line)
        if out is None:
            return
        drawn = picture(label)
        try:
            out.touch(mode=0o600)
            out.write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise ToolError(f"{out}: {error.strerror}") from None
        click.echo(f"{out}: print it, and put it inside the cabinet")


@command("doctor", exit_codes={DONE: "nothing is wrong", FAILED: "a check failed"})
@click.option("--port", metavar="PORT", help="Check the board there, too.")
@click.option(
    "--broker",
    metavar="URL",
    callback=broker_option,
    help="Log in there, as a device does. " + BROKER_HELP,
)
@ca_option
@cert_option
@key_option
def doctor_command(
    port: str | None,
    broker: Broker | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
) -> None:
    """Check machine, board and broker, and say how to mend them.

    A board at --port is stopped for a moment, and started again.

    \b
      egiz-edge doctor --port /dev/ttyUSB0 --broker mqtt://broker.factory
    """  # noqa: D301  # as above
    from egiz_edge_tools.doctor import examine  # noqa: PLC0415  # as above

    with _translate_errors():
        tls = context({"ca": ca, "cert": cert, "key": key})
    failed = 0
    for finding in examine(port, broker, tls):
        mark = {True: "ok", False: "FAIL", None: "-"}[finding.is_ok]
        click.echo(f"{mark:6}{finding.text}")
        if finding.is_ok is not True:
            click.echo(f"      {finding.fix}".replace("\n  ", "\n      "))
        failed += finding.is_ok is False
    if failed:
        click.echo(f"{failed} of the checks failed", err=True)
        raise click.exceptions.Exit(FAILED)


@command(
    "pzem-address",
    exit_codes={
        DONE: "the meter has the address",
        FAILED: "it has not: no meter, two meters, or the answer was no",
    },
)
@click.option(
    "--port",
    required=True,
    metavar="PORT",
    help="Port of a USB-to-serial adapter with 5 V logic; not the board's.",
)
@click.argument("address", type=click.IntRange(1, 247))
@click.option(
    "--current",
    default=GENERAL,
    type=click.IntRange(1, GENERAL),
    help="Present address of the meter. Default: of the one that answers.",
)
@click.option("--dry-run", is_flag=True, help="Read the meter, and write nothing.")
@click.option("--yes", is_flag=True, help="Write it without a question.")
def pzem_address_command(
    port: str, address: int, current: int, dry_run: bool, yes: bool
) -> None:
    """Set the bus ADDRESS of a PZEM-004T v3 power meter.

    A board reads phase a at address 1, b at 2 and c at 3. All meters come with address
    1, and two with the same address cannot be distinguished: connect ONE meter only,
    powered by mains, which is an electrician's work.

    \b
      egiz-edge pzem-address --port /dev/ttyUSB1 2
    """  # noqa: D301  # as above
    from egiz_edge_tools.meters import meters_at  # noqa: PLC0415  # as above

    with _translate_errors(), meters_at(port) as meters:
        found = meters.address_of(current)
        click.echo(f"{port}: a meter answers at address {found}")
        if found == address:
            click.echo("it has this address already; nothing is written")
            return
        if meters.is_in_use(address):
            raise PortError(
                port,
                f"another meter answers at {address}",
                "Connect one meter only.",
            )
        if dry_run:
            click.echo(f"dry run: {found} would become {address}; nothing is written")
            return
        if not yes:
            click.confirm(f"Change {found} to {address}?", abort=True)
        meters.give(address, found)
        click.echo(f"it answers at {address} now; write that on it")


@contextlib.contextmanager
def _bundle(directory: Path | None, release: Path | None, arch: str) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="egiz-edge-") as fresh:
        if release is None:
            build(Path(fresh), arch)
        else:
            _unpack(release, Path(fresh))
        yield Path(fresh)


def _unpack(release: Path, directory: Path) -> None:
    try:
        unpack(release, directory)
    except Refused as error:
        raise BundleError(f"{release}: {error}") from None
    except OSError as error:
        raise BundleError(f"{release}: {error.strerror}") from None


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """What a person can mend is a sentence, not a traceback."""
    try:
        yield
    except (BundleError, ReleaseError, SettingsError) as error:
        raise Unusable(str(error)) from None
    except ToolError as error:
        raise click.ClickException(str(error)) from None
