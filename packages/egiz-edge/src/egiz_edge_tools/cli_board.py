"""`egiz-edge build`, `deploy`, `monitor` and `doctor`: real boards."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from egiz_edge_tools.bundle import ARCHITECTURES, build
from egiz_edge_tools.errors import ToolError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # as a shell has it for Ctrl-C

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
    help="Serial port of the board, as /dev/ttyUSB0 or COM3; `doctor` lists them.",
)


@click.command("build")
@_arch
@click.option(
    "--out",
    default="bundle",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the bundle; an older bundle there is replaced.",
)
def build_command(arch: str, out: Path) -> None:
    """Compile the firmware into a bundle: .mpy files and a manifest.

    The manifest has the size and SHA-256 of each file. The same sources give the same
    bytes.
    """
    with _explained():
        manifest = build(out, arch)
    click.echo(
        f"{out}: firmware {manifest.firmware_version} for {arch},"
        f" {len(manifest.files)} files, {manifest.size:,} bytes"
    )


@click.command("deploy")
@_port
@click.option(
    "--bundle",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that `build` made. Default: a fresh one.",
)
@_arch
def deploy_command(port: str, bundle: Path | None, arch: str) -> None:
    """Bring the firmware onto a board, and start it.

    Only files that differ are copied. They are checked on the board by their SHA-256,
    and take their places when all have arrived: until then the old firmware is whole.
    After an interruption, give the same command again.
    """
    from egiz_edge_tools.deploy import deploy  # noqa: PLC0415  # so that --help is quick

    with _explained(), _bundle(bundle, arch) as directory:
        try:
            deploy(directory, port, click.echo)
        except KeyboardInterrupt:
            click.echo(
                "\nInterrupted. The old firmware is as it was, but stopped: deploy"
                " again, or press the board's EN button.",
                err=True,
            )
            sys.exit(EXIT_INTERRUPTED)


@click.command("monitor")
@_port
def monitor_command(port: str) -> None:
    """Show what a board prints, with the time. Ctrl-C ends it.

    The firmware is not disturbed: nothing is sent to the board.
    """
    from egiz_edge_tools.monitor import monitor  # noqa: PLC0415  # as above

    with _explained(), contextlib.suppress(KeyboardInterrupt):
        monitor(port, click.echo)


@contextlib.contextmanager
def _bundle(directory: Path | None, arch: str) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="egiz-edge-") as fresh:
        build(Path(fresh), arch)
        yield Path(fresh)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """A user's trouble is a sentence, not a traceback."""
    try:
        yield
    except ToolError as fault:
        click.echo(f"egiz-edge: {fault}", err=True)
        sys.exit(EXIT_FAILED)
