"""What the commands share: the option --config, and how its problems are shown."""

from pathlib import Path

import click
from egiz_cli import USAGE, InputFile, without_passwords

from egiz_bridge.config.settings import Settings, load
from egiz_bridge.errors import ConfigError

config_option = click.option(
    "--config",
    type=InputFile(),
    metavar="FILE",
    help="Settings, in TOML; `egiz-bridge run --help` lists them. Without one: broker "
    "on localhost:1883, archive and spool in the current directory.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for scripts."
)


def load_settings(config: Path | None) -> Settings:
    """The settings; problems are printed, each with its key, and end the command."""
    try:
        return load(config)
    except ConfigError as error:
        raise exit_for(of_settings(config, error)) from None


def of_settings(config: Path | None, error: ConfigError) -> list[str]:
    """What to print of wrong settings: where they are, then each with its key."""
    where = f"{config} and the environment" if config else "the environment"
    return [f"Settings of {where} cannot be used:", *error.problems]


def exit_for(problems: list[str], code: int = USAGE) -> click.exceptions.Exit:
    """Print the problems, a line each; raise what this returns."""
    for problem in problems:
        click.echo(without_passwords(problem), err=True)
    return click.exceptions.Exit(code)
