"""`egiz-edge keygen` and `egiz-edge keys`: the keys that sign releases."""

from pathlib import Path

import click
from egiz_cli import DONE, InputFile, command, group

from egiz_edge_tools.cli_shared import passphrase_option, translate_errors
from egiz_edge_tools.keys import SET
from egiz_edge_tools.passphrase import read_passphrase

_directory = click.Path(file_okay=False, path_type=Path)
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
@passphrase_option
def keygen_command(directory: Path, passphrase_file: Path | None) -> None:
    """Make the keys that sign releases: a root key, and r1 and r2.

    Devices know the root key for ever, and by it the set of release keys. All private
    keys have the same passphrase. Move root.pem to a memory stick and lock it away.

    \b
      egiz-edge keygen keys
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    with translate_errors():
        from egiz_edge_tools.private_keys import (  # noqa: PLC0415  # an extra
            check_is_free,
            generate,
        )

        check_is_free(directory)  # before a passphrase is asked for
        generate(directory, read_passphrase(passphrase_file))
    click.echo(
        f"{directory}: root key, release keys r1 and r2, and key set 1. Keep root.pem"
        " offline: whoever has it and its passphrase can update every device."
    )


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
@passphrase_option
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
    with translate_errors():
        from egiz_edge_tools.private_keys import add  # noqa: PLC0415  # an extra

        root = root or directory / "root.pem"
        passphrase = read_passphrase(passphrase_file, root)
        number = add(directory, key, root, passphrase, public)
    click.echo(f"{directory / SET}: key set {number}, with {key}")


@keys_group.command("revoke", exit_codes={DONE: "the key set is replaced"})
@click.argument("key", metavar="ID")
@_keys
@_root
@passphrase_option
def revoke_command(
    key: str, directory: Path, root: Path | None, passphrase_file: Path | None
) -> None:
    """Leave the release key ID out of the key set.

    Its file stays. A device refuses the key as soon as it has the new set, which it
    fetches when an order or a release names the set's number.

    \b
      egiz-edge keys revoke r1 --keys keys
    """  # noqa: D301  # as above
    with translate_errors():
        from egiz_edge_tools.private_keys import revoke  # noqa: PLC0415  # an extra

        root = root or directory / "root.pem"
        passphrase = read_passphrase(passphrase_file, root)
        number = revoke(directory, key, root, passphrase)
    click.echo(f"{directory / SET}: key set {number}, without {key}")


COMMANDS = (keygen_command, keys_group)
