"""`egiz-edge release`, `sign`, `verify` and `serve`."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
from egiz_cli import DONE, FAILED, InputFile, command, explain
from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.signed import NUMBER_MAX, Refused, is_id

from egiz_edge_tools.cli_shared import passphrase_option, translate_errors
from egiz_edge_tools.errors import ReleaseError
from egiz_edge_tools.keys import SET, read_set, replace_file
from egiz_edge_tools.packing import Unsigned
from egiz_edge_tools.passphrase import read_passphrase
from egiz_edge_tools.release import ENDING, TARGETS, attach, make, verify

_PORT_MAX = 65535


def _address(
    _context: click.Context, _option: click.Parameter, text: str
) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    is_url = any(mark in host for mark in "/@")  # it may hold a password
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= _PORT_MAX
    if not host or is_url or not is_port:
        raise click.BadParameter("must be HOST:PORT, as 0.0.0.0:8000")
    return host, int(port)


_directory = click.Path(file_okay=False, path_type=Path)


@command("release", exit_codes={DONE: "the release is made"})
@click.option(
    "--security",
    default=0,
    show_default=True,
    type=click.IntRange(0, NUMBER_MAX),
    metavar="N",
    help="A device that has confirmed a higher number refuses this release.",
)
@click.option(
    "--key",
    type=InputFile(dir_okay=False),
    help="File of the release key, named for its id. Default: keys/r1.pem.",
)
@click.option("--unsigned", is_flag=True, help="Sign it later, with `egiz-edge sign`.")
@click.option(
    "--keys",
    "directory",
    type=_directory,
    help="With --unsigned: directory with the key set that devices must have.",
)
@click.option(
    "--target",
    default="esp32",
    show_default=True,
    type=click.Choice(list(TARGETS)),
    help="The boards it is for; linux is the virtual board.",
)
@click.option(
    "--out",
    default="updates",
    show_default=True,
    type=_directory,
    help="Directory that is served; the release is VERSION.egz there.",
)
@passphrase_option
def release_command(  # noqa: PLR0913, PLR0917  # one argument for each option
    security: int,
    key: Path | None,
    unsigned: bool,
    directory: Path | None,
    target: str,
    out: Path,
    passphrase_file: Path | None,
) -> None:
    """Compile the firmware into one signed file, VERSION.egz.

    The same sources give the same bytes. Beside it comes the key set that lies beside
    the key, which devices fetch when they do not know a key. An unsigned release has
    its manifest in a file of its own, for a key that is elsewhere.

    \b
      egiz-edge release --key keys/r1.pem --out updates
    """  # noqa: D301  # as above
    if unsigned and (key or passphrase_file):
        raise click.UsageError("--unsigned needs neither --key nor --passphrase-file")
    if directory and not unsigned:
        raise click.UsageError("--keys needs --unsigned; else it is that of --key")
    with translate_errors():
        if not unsigned:
            key = key or Path("keys/r1.pem")
            _sign_release(security, target, key, out, passphrase_file)
            return
        keys = read_set(directory) if directory else None
        made = make(security, keys.number if keys else 0, target)
        path = _write(out, made, made.signed()).with_suffix(".manifest")
        replace_file(path, made.manifest)
        if directory and keys:
            _publish(directory, keys, out)
        click.echo(f"{path}: what is to be signed; then `egiz-edge sign`")


def _sign_release(
    security: int, target: str, key: Path, out: Path, passphrase_file: Path | None
) -> None:
    from egiz_edge_tools.private_keys import (  # noqa: PLC0415  # an extra
        load,
        modulus_of,
        sign,
    )

    if not is_id(key.stem):
        raise ReleaseError(f"--key {key}: must be named for its id, as r1.pem")
    private = load(key, read_passphrase(passphrase_file, key))
    keys = read_set(key.parent) if (key.parent / SET).exists() else None
    if keys and keys.moduli.get(key.stem) != modulus_of(private):
        raise ReleaseError(
            f"--key {key}: key set {keys.number} beside it has no such {key.stem} (is"
            " it revoked?), so devices would refuse the release"
        )
    made = make(security, keys.number if keys else 0, target)
    _write(out, made, made.signed(key.stem, sign(private, made.manifest)))
    if keys:
        _publish(key.parent, keys, out)
    else:
        click.echo(f"{key.parent} has no key set: whether devices accept it is open")


def _publish(directory: Path, keys: KeySet, out: Path) -> None:
    replace_file(out / SET, (directory / SET).read_bytes())
    click.echo(f"{out / SET}: key set {keys.number}, for devices")


def _write(out: Path, made: Unsigned, content: bytes) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{made.version}{ENDING}"
    before = path.read_bytes() if path.exists() else None
    replace_file(path, content)
    changed = {None: "", content: ", as it was"}.get(before, ", which replaces another")
    click.echo(f"{path}: {len(content):,} bytes{changed}")
    return path


@command(
    "sign",
    exit_codes={DONE: "the release is signed", FAILED: "the signature is not its own"},
)
@click.argument("file", type=InputFile(dir_okay=False))
@click.option(
    "--signature",
    required=True,
    metavar="SIG",
    type=InputFile(dir_okay=False),
    help="File of the signature: 384 bytes.",
)
@click.option(
    "--keys",
    "directory",
    type=_directory,
    help="Directory with the key set; finds the key, and checks the signature.",
)
def sign_command(file: Path, signature: Path, directory: Path | None) -> None:
    """Put a signature that was made elsewhere into a release.

    As by an HSM, or by openssl. Without --keys the release names no key, and a device
    tries all that it has.

    \b
      egiz-edge release --unsigned --out updates
      openssl dgst -sha256 -sign hsm.pem -out sig updates/0.1.0.manifest
      egiz-edge sign updates/0.1.0.egz --signature sig --keys keys
    """  # noqa: D301  # as above
    with translate_errors(), _refused_as_failure(file):
        keys = None if directory is None else read_set(directory)
        key = attach(file, signature.read_bytes(), keys)
    how = "not checked; `egiz-edge verify` does that" if keys is None else f"by {key}"
    click.echo(f"{file}: signed, {how}")


@command(
    "verify",
    exit_codes={
        DONE: "all are sound and signed",
        FAILED: "one is not, for this reason",
    },
)
@click.argument(
    "files",
    metavar="FILE...",
    type=InputFile(dir_okay=False),
    nargs=-1,
    required=True,
)
@click.option(
    "--keys",
    "directory",
    required=True,
    metavar="DIR",
    type=_directory,
    help="Directory with `keys` and `root.modulus`; needs no private key.",
)
def verify_command(files: tuple[Path, ...], directory: Path) -> None:
    """Read releases as a device does, to their end.

    Checked are the key set, the signature, the manifest, and each file's size and
    SHA-256.

    \b
      egiz-edge verify updates/*.egz --keys keys
    """  # noqa: D301  # as above
    reasons = []
    with translate_errors():
        keys = read_set(directory)
        for file in files:
            try:
                click.echo(_verified(file, keys))
            except Refused as error:
                reasons.append(f"{file}: {error}")
    if reasons:
        raise click.ClickException("\n".join(reasons))


def _verified(file: Path, keys: KeySet) -> str:
    found = verify(file, keys)
    return (
        f"{file}: version {found.version}, security {found.security}, for"
        f" {found.target}, .mpy {found.mpy[0]}, {found.count} files,"
        f" {found.size:,} bytes; {_signer_of(found.key, keys)}"
    )


def _signer_of(key: str, keys: KeySet) -> str:
    who = f"a key of set {keys.number}" if key == "-" else f"{key} of set {keys.number}"
    return f"signed by {who}"


@command(
    "serve",
    exit_codes={DONE: "ended with Ctrl-C", FAILED: "it cannot listen there"},
)
@click.argument(
    "directory",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--listen",
    default="0.0.0.0:8000",
    show_default=True,
    metavar="HOST:PORT",
    callback=_address,
    help="Address of this machine; 0.0.0.0 is all of them.",
)
@click.option("--tls", is_flag=True, help="HTTPS instead of HTTP.")
@click.option(
    "--cert",
    type=InputFile(dir_okay=False),
    help="With --tls: certificate in PEM. Default: cert.pem.",
)
@click.option(
    "--cert-key",
    type=InputFile(dir_okay=False),
    help="With --tls: its private key. Default: key.pem.",
)
def serve_command(
    directory: Path,
    listen: tuple[str, int],
    tls: bool,
    cert: Path | None,
    cert_key: Path | None,
) -> None:
    """Serve the releases in DIR to devices. Ctrl-C ends it.

    Given out are `*.egz` and `keys`, whole or from a byte on; nothing else that is in
    DIR. Each request is a line. A web server such as nginx does the same.

    \b
      egiz-edge serve updates
      egiz-edge serve updates --tls --cert broker.pem --cert-key broker.key
    """  # noqa: D301  # as above
    from egiz_edge_tools.serve import (  # noqa: PLC0415  # so that --help is quick
        Server,
        tls_context,
    )

    if not tls and (cert or cert_key):
        raise click.UsageError("--cert and --cert-key need --tls")
    if not directory.is_dir():  # a pipe or a device: click refuses a file alone
        raise click.UsageError(f"DIR {directory}: is no directory")
    with translate_errors(), contextlib.suppress(KeyboardInterrupt):
        files = (cert or Path("cert.pem"), cert_key or Path("key.pem"))
        context = tls_context(*files) if tls else None
        try:
            server = Server(directory, listen, context)
        except OSError as error:
            where = ":".join(map(str, listen))
            raise click.ClickException(f"--listen {where}: {explain(error)}") from None
        with server.running():
            found = len([*directory.glob(f"[!.]*{ENDING}")])
            click.echo(f"{server.url}: {found} releases of {directory}; Ctrl-C ends it")
            for line in server.lines():
                click.echo(line)


@contextlib.contextmanager
def _refused_as_failure(file: Path) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise click.ClickException(f"{file}: {error}") from None


COMMANDS = (
    release_command,
    sign_command,
    verify_command,
    serve_command,
)
