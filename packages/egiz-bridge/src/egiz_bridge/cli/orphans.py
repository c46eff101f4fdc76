"""`egiz-bridge spool adopt` and `purge`, `egiz-bridge session`: what is not used."""

from dataclasses import replace
from pathlib import Path

import click
from egiz_cli import DONE, FAILED, command, group

from egiz_bridge.cli.shared import config_option, exit_for, load_settings
from egiz_bridge.config.settings import Settings
from egiz_bridge.errors import ConfigError, MqttError, Unavailable
from egiz_bridge.mqtt.broker import Broker, brokers_of
from egiz_bridge.mqtt.connection import open_connection, try_login
from egiz_bridge.orphans import find_orphans
from egiz_bridge.spool import orphans

_UNUSABLE = {FAILED: "the spool cannot be used; the reason is printed"}


@command(exit_codes=_UNUSABLE)
@config_option
@click.argument("sink", required=False)
@click.option("--to", "other", metavar="SINK", help="The sink that gets it.")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Another spool: all of it is moved into this one.",
)
def adopt(
    config: Path | None, sink: str | None, other: str | None, file: Path | None
) -> None:
    """Have what waits for a SINK that is gone written to another one.

    `spool status` lists what there is, with the command. The bridge, which may run
    meanwhile, writes it within seconds.

    \b
      egiz-bridge spool adopt influxdb --to victoriametrics --config bridge.toml
      egiz-bridge spool adopt --file spool-1.sqlite --config bridge.toml
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    settings = load_settings(config)
    if (file is None) == (sink is None) or (sink is None) != (other is None):
        raise click.UsageError("give SINK and --to SINK, or --file FILE")
    try:
        if file is not None:
            messages, letters = orphans.adopt_file(settings.spool.path, file)
        else:
            _check_sinks(settings, gone=str(sink), wanted=str(other))
            path = settings.spool.path
            messages, letters = orphans.adopt_sink(path, str(sink), str(other))
    except Unavailable as error:
        raise click.ClickException(f"spool.path: {error}") from None
    click.echo(f"{messages} messages handed to the bridge, {letters} dead letters kept")


@command("purge", exit_codes=_UNUSABLE)
@config_option
@click.argument("sink")
def purge_sink(config: Path | None, sink: str) -> None:
    """Delete the messages that wait for a SINK that is gone.

    \b
      egiz-bridge spool purge influxdb --config bridge.toml
    """  # noqa: D301  # as above
    settings = load_settings(config)
    _check_sinks(settings, gone=sink)
    try:
        deleted = orphans.purge_sink(settings.spool.path, sink)
    except Unavailable as error:
        raise click.ClickException(f"spool.path: {error}") from None
    click.echo(f"{deleted} messages deleted")


def _check_sinks(settings: Settings, gone: str, wanted: str | None = None) -> None:
    names = [table.sink_name for table in settings.sinks()]
    if gone in names:
        raise click.UsageError(f"the bridge writes to {gone}: it is not gone")
    if wanted is not None and wanted not in names:
        raise click.UsageError(f"there is no sink {wanted}: {', '.join(names)}")


@group("session")
def session() -> None:
    """List or end sessions that the broker keeps for earlier runs.

    The broker queues for each of them until it expires or is ended.
    """


@session.command("list", exit_codes=_UNUSABLE)
@config_option
def list_sessions(config: Path | None) -> None:
    """List the sessions that were used and are not any more.

    \b
      egiz-bridge session list --config bridge.toml
    """  # noqa: D301  # as above
    for client_id in find_orphans(load_settings(config)).sessions:
        click.echo(client_id)


@session.command(
    exit_codes={
        DONE: "the broker keeps nothing of it",
        FAILED: "it is this bridge's, or the broker refuses; the reason is printed",
    }
)
@config_option
@click.argument("client_id")
def end(config: Path | None, client_id: str) -> None:
    """End a session of an earlier run.

    What the broker queues for CLIENT_ID is deleted.

    \b
      egiz-bridge session end egiz-bridge-2 --config bridge.toml
    """  # noqa: D301  # as above
    settings = load_settings(config)
    found = find_orphans(settings)
    if client_id not in found.sessions:
        raise click.ClickException(f"{client_id} is no session of an earlier run")
    try:
        _end(settings, client_id)
        for path in found.spools:
            orphans.forget_session(path, client_id)
    except ConfigError as error:
        raise exit_for(error.problems) from None
    except (MqttError, OSError) as error:
        raise click.ClickException(f"mqtt.url: {error}") from None
    except Unavailable as error:
        raise click.ClickException(f"spool.path: {error}") from None
    click.echo(f"the session {client_id} has ended")


def _end(settings: Settings, client_id: str) -> None:
    """End it at each address: which of them it is at, the broker does not say."""
    for broker in brokers_of(settings.mqtt):
        _end_at(broker, client_id)


def _end_at(broker: Broker, client_id: str) -> None:
    if try_login(broker):
        reason = "this broker gives an account one session, whatever its client id"
        raise click.ClickException(f"{reason}: it is the bridge's own")
    connection, _ = open_connection(
        replace(broker, client_id=client_id, session_expiry_s=0)
    )
    connection.disconnect()
