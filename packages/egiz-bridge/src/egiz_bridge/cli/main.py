"""The command `egiz-bridge`."""

import sys
from pathlib import Path
from typing import NoReturn

import click

from egiz_bridge import log
from egiz_bridge.cli.bench import bench
from egiz_bridge.cli.devices import devices
from egiz_bridge.cli.probe import probe
from egiz_bridge.cli.spool import EXIT_CONFIG, dead_letters, spool
from egiz_bridge.cli.tail import tail
from egiz_bridge.config.settings import described, env_name, load
from egiz_bridge.errors import BridgeError, ConfigError

EXIT_DIED = 1


class _HelpWithKeys(click.Command):
    """A command whose help ends with every key of the configuration."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx  # the keys are the same everywhere
        with formatter.section("Keys of the configuration file"):
            formatter.write_text(
                "TOML; [mqtt] url is mqtt.url below. The environment wins: mqtt.url is "
                f"{env_name('mqtt.url')}."
            )
            formatter.write_paragraph()
            formatter.write_dl([_entry(*key) for key in described()])


def _entry(key: str, default: str, meaning: str) -> tuple[str, str]:
    return key, f"{meaning} [{default}]" if default else meaning


_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file. Without one: broker on localhost:1883, archive and spool in the "
    "current directory.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="egiz-bridge")
def main() -> None:
    """Move MQTT telemetry into InfluxDB or SQLite, and lose none.

    A message is acknowledged to the broker only once it is stored.
    """


main.add_command(dead_letters)
main.add_command(spool)
main.add_command(devices)
main.add_command(probe)
main.add_command(tail)
main.add_command(bench)


@main.command(cls=_HelpWithKeys)
@_config
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="So many processes, which share mqtt.facilities: if one core is not enough.",
)
def run(config: Path | None, workers: int) -> None:
    """Run the bridge until SIGTERM or Ctrl-C.

    \b
    Exit codes: 0 stopped, 1 a part of the bridge died, 2 the configuration is wrong.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    log.configure()
    from egiz_bridge import daemon  # noqa: PLC0415  # so that --help is quick
    from egiz_bridge import workers as team  # noqa: PLC0415  # as above

    try:
        if workers > 1:
            team.run(config, workers)
        else:
            daemon.run(config)
    except ConfigError as fault:
        _stop_for(fault.problems)
    except BridgeError as fault:
        click.echo(str(fault), err=True)
        sys.exit(EXIT_DIED)


@main.command(cls=_HelpWithKeys)
@_config
def check(config: Path | None) -> None:
    """Try whatever `run` needs: the configuration, the broker, the databases.

    \b
    Exit codes: 0 all is well, 2 there are problems, each told with its key.
    """  # noqa: D301  # as above
    try:
        settings = load(config)
    except ConfigError as fault:
        _stop_for(fault.problems)
    from egiz_bridge.cli.check import results  # noqa: PLC0415  # so that --help is quick

    wrong = []
    for key, problem in results(settings):
        click.echo(f"{'ok' if problem is None else 'WRONG':6}{key}")
        if problem is not None:
            wrong.append(f"{key}: {problem}")
    if wrong:
        _stop_for(wrong)


def _stop_for(problems: list[str]) -> NoReturn:
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(EXIT_CONFIG)
