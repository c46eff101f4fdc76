"""`egiz-edge keygen`, `release`, `sign`, `verify`, `keys` and `serve`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from egiz_cli import DONE, FAILED, InputFile, Unusable, command, group
from egiz_edge.ota.keys import KeySet
from egiz_edge.ota.signed import NUMBER_MAX, Refused, is_id

from egiz_edge_tools.errors import ReleaseError, ToolError
from egiz_edge_tools.keys import SET, read_set, replace_file
from egiz_edge_tools.passphrase import read_passphrase
from egiz_edge_tools.release import ENDING, TARGETS, Unsigned, attach, make, verify

_directory = click.Path(file_okay=False, path_type=Path)
_passphrase = click.option(
    "--passphrase-file",
    type=InputFile(dir_okay=False),
    help="File whose first line is the passphrase. Default: asked at the terminal.",
)
_keys = click.option(
    "--keys",
    "directory",
    default="keys",
    show_default=True,
    type=_directory,
    help="Directory that `keygen` made.",
)
_root = click.option(
    "--root",
    type=InputFile(dir_okay=False),
    help="File of the root key, as on a memory stick. Default: root.pem in --keys.",
)


@command("keygen", exit_codes={DONE: "the keys are made"})
@click.argument("directory", metavar="DIR", type=_directory)
@_passphrase
def keygen_command(directory: Path, passphrase_file: Path | None) -> None:
    """Make the keys that sign releases: a root key, and r1 and r2.

    Devices know the root key for ever, and by it the set of release keys. All private
    keys have the same passphrase. Move root.pem to a memory stick and lock it away.

    \b
      egiz-edge keygen keys
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    with _translate_errors():
        from egiz_edge_tools.private_keys import (  # noqa: PLC0415  # an extra
            check_is_free,
            generate,
        )

        check_is_free(directory)  # before a passphrase is asked for
        generate(directory, read_passphrase(passphrase_file, is_new=True))
    click.echo(
        f"{directory}: root key, release keys r1 and r2, and key set 1. Keep root.pem"
        " offline: whoever has it and its passphrase can update every device."
    )


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
@_passphrase
def release_command(
    security: int,
    key: Path | None,
    unsigned: bool,
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
    with _translate_errors():
        if unsigned:
            made = make(security, target=target)
            path = _write(out, made, made.signed()).with_suffix(".manifest")
            replace_file(path, made.manifest)
            click.echo(f"{path}: what is to be signed; then `egiz-edge sign`")
            return
        key = key or Path("keys/r1.pem")
        _sign_release(security, target, key, out, passphrase_file)


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
    private = load(key, read_passphrase(passphrase_file))
    keys = read_set(key.parent) if (key.parent / SET).exists() else None
    if keys and keys.moduli.get(key.stem) != modulus_of(private):
        raise ReleaseError(
            f"--key {key}: key set {keys.number} beside it has no such {key.stem} (is"
            " it revoked?), so devices would refuse the release"
        )
    made = make(security, keys.number if keys else 0, target)
    _write(out, made, made.signed(key.stem, sign(private, made.manifest)))
    if keys:
        replace_file(out / SET, (key.parent / SET).read_bytes())
        click.echo(f"{out / SET}: key set {keys.number}, for devices")
    else:
        click.echo(f"{key.parent} has no key set, so no device was considered")


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
    with _translate_errors(), _refused_as_failure(file):
        keys = None if directory is None else read_set(directory)
        key = attach(file, signature.read_bytes(), keys)
    how = "not checked; `egiz-edge verify` does that" if keys is None else f"by {key}"
    click.echo(f"{file}: signed, {how}")


@command(
    "verify",
    exit_codes={DONE: "it is sound and signed", FAILED: "it is not, for this reason"},
)
@click.argument("file", type=InputFile(dir_okay=False))
@click.option(
    "--keys",
    "directory",
    required=True,
    metavar="DIR",
    type=_directory,
    help="Directory with `keys` and `root.modulus`; needs no private key.",
)
def verify_command(file: Path, directory: Path) -> None:
    """Read a release as a device does, to its end.

    Checked are the key set, the signature, the manifest, and each file's size and
    SHA-256.

    \b
      egiz-edge verify updates/0.1.0.egz --keys keys
    """  # noqa: D301  # as above
    with _translate_errors():
        keys = read_set(directory)
        with _refused_as_failure(file):
            found = verify(file, keys)
    click.echo(
        f"{file}: version {found.version}, security {found.security}, for"
        f" {found.target}, .mpy {found.mpy[0]}, {found.count} files,"
        f" {found.size:,} bytes; {_signer_of(found.key, keys)}"
    )


def _signer_of(key: str, keys: KeySet) -> str:
    who = f"a key of set {keys.number}" if key == "-" else f"{key} of set {keys.number}"
    return f"signed by {who}"


@group("keys", exit_codes={DONE: "the key set is replaced"})
def keys_group() -> None:
    """Change the set of keys that may sign releases."""


@keys_group.command("add", exit_codes={DONE: "the key set is replaced"})
@click.argument("key", metavar="ID")
@_keys
@_root
@click.option(
    "--public",
    type=InputFile(dir_okay=False),
    help="Public half (PEM) of a key that is elsewhere, as in an HSM.",
)
@_passphrase
def add_command(
    key: str,
    directory: Path,
    root: Path | None,
    public: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Make the release key ID, and add it to the key set.

    The passphrase is that of the root key, and becomes that of the new key.

    \b
      egiz-edge keys add r3 --keys keys
    """  # noqa: D301  # as above
    with _translate_errors():
        from egiz_edge_tools.private_keys import add  # noqa: PLC0415  # an extra

        passphrase = read_passphrase(passphrase_file)
        number = add(directory, key, root or directory / "root.pem", passphrase, public)
    click.echo(f"{directory / SET}: key set {number}, with {key}")


@keys_group.command("revoke", exit_codes={DONE: "the key set is replaced"})
@click.argument("key", metavar="ID")
@_keys
@_root
@_passphrase
def revoke_command(
    key: str, directory: Path, root: Path | None, passphrase_file: Path | None
) -> None:
    """Leave the release key ID out of the key set.

    Its file stays. A device refuses the key as soon as it has the new set, which it
    fetches when an order or a release names the set's number.

    \b
      egiz-edge keys revoke r1 --keys keys
    """  # noqa: D301  # as above
    with _translate_errors():
        from egiz_edge_tools.private_keys import revoke  # noqa: PLC0415  # an extra

        passphrase = read_passphrase(passphrase_file)
        number = revoke(directory, key, root or directory / "root.pem", passphrase)
    click.echo(f"{directory / SET}: key set {number}, without {key}")


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """What a person can mend is a sentence, not a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        raise click.ClickException(
            "private keys need a package more: pip install 'egiz-edge[release]'"
        ) from None
    except ReleaseError as error:
        raise Unusable(str(error)) from None
    except ToolError as error:
        raise click.ClickException(str(error)) from None


@contextlib.contextmanager
def _refused_as_failure(file: Path) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise click.ClickException(f"{file}: {error}") from None


COMMANDS = (keygen_command, release_command, sign_command, verify_command, keys_group)
