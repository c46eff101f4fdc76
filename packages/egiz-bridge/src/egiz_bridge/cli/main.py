"""The command `egiz-bridge`."""

from pathlib import Path

import click
from egiz_cli import DONE, FAILED, Command, Program

from egiz_bridge import __version__, log
from egiz_bridge.cli.bench import bench
from egiz_bridge.cli.devices import devices
from egiz_bridge.cli.orphans import session
from egiz_bridge.cli.probe import probe
from egiz_bridge.cli.shared import (
    config_option,
    exit_for,
    load_settings,
    of_settings,
)
from egiz_bridge.cli.spool import dead_letters, spool
from egiz_bridge.cli.tail import tail
from egiz_bridge.config.settings import described, env_name
from egiz_bridge.errors import BridgeError, ConfigError


class _HelpWithKeys(Command):
    """A command with a help that ends with every key of the configuration."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Keys of the configuration file"):
            formatter.write_text(
                "TOML; [mqtt] url is mqtt.url below. The environment wins: mqtt.url is "
                f"{env_name('mqtt.url')}."
            )
            formatter.write_paragraph()
            formatter.write_dl([_entry(*key) for key in described()])


def _entry(key: str, default: str, meaning: str) -> tuple[str, str]:
    return key, f"{meaning} [{default}]" if default else meaning


@click.group("egiz-bridge", cls=Program, version=__version__)
def main() -> None:
    """Move MQTT telemetry into InfluxDB or SQLite, and lose none.

    A message is acknowledged to the broker only once it is stored.

    \b
    Try the settings, run the bridge, and look at what it does:
      egiz-bridge check --config bridge.toml
      egiz-bridge run --config bridge.toml
      egiz-bridge tail --config bridge.toml
    """  # noqa: D301  # \b is click's mark for lines that stay as they are


main.add_command(dead_letters)
main.add_command(spool)
main.add_command(session)
main.add_command(devices)
main.add_command(probe)
main.add_command(tail)
main.add_command(bench)


@main.command(
    cls=_HelpWithKeys,
    exit_codes={
        DONE: "stopped by SIGTERM or Ctrl-C",
        FAILED: "a part of the bridge failed; the log says which",
    },
)
@config_option
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes that share mqtt.facilities, where one core is not enough.",
)
def run(config: Path | None, workers: int) -> None:
    """Run the bridge until SIGTERM or Ctrl-C.

    \b
      egiz-bridge run --config bridge.toml

    SIGHUP makes it read the file again.
    """  # noqa: D301  # as above
    log.configure()
    from egiz_bridge import daemon  # noqa: PLC0415  # so that --help is quick
    from egiz_bridge import workers as team  # noqa: PLC0415  # as above

    try:
        if workers > 1:
            team.run(config, workers)
        else:
            daemon.run(config)
    except ConfigError as error:
        raise exit_for(of_settings(config, error)) from None
    except BridgeError as error:
        raise exit_for([str(error)], FAILED) from None


@main.command(
    cls=_HelpWithKeys,
    exit_codes={
        DONE: "all works",
        FAILED: "what `run` needs does not work; printed with its key",
    },
)
@config_option
def check(config: Path | None) -> None:
    """Try what `run` needs: the settings, the broker, the databases.

    \b
      egiz-bridge check --config bridge.toml

    Nothing is written to a database. A bridge may run meanwhile.
    """  # noqa: D301  # as above
    settings = load_settings(config)
    from egiz_bridge.cli.check import results  # noqa: PLC0415  # so that --help is quick

    wrong = []
    for result in results(settings):
        click.echo(f"{'ok' if result.problem is None else 'WRONG':6}{result.key}")
        if result.problem is not None:
            wrong.append(result)
    if wrong:
        problems = [f"{result.key}: {result.problem}" for result in wrong]
        raise exit_for(problems, max(result.exit_code for result in wrong))
