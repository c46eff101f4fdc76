"""What commands about keys and releases share."""

import contextlib
from collections.abc import Iterator

import click
from egiz_cli import InputFile, Unusable

from egiz_edge_tools.errors import ReleaseError, ToolError

passphrase_option = click.option(
    "--passphrase-file",
    type=InputFile(dir_okay=False),
    help="File whose first line is the passphrase. Default: asked at the terminal.",
)


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
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
