"""The command `egiz-sim`."""

import click
from egiz_cli import DONE, FAILED, Program, Real
from rich.console import Console

from egiz_sim import __version__
from egiz_sim.cli_check import check
from egiz_sim.cli_firmware import firmware
from egiz_sim.cli_load import load
from egiz_sim.cli_run import run
from egiz_sim.cli_scenario import scenarios
from egiz_sim.demo.parts import PartError
from egiz_sim.demo.run import run_demo
from egiz_sim.demo.services import Ports
from egiz_sim.fleet import UnreachableError

_MQTT_PORT, _HTTP_PORT = 11883, 18080  # of `demo --serve`


@click.group("egiz-sim", cls=Program, version=__version__)
def main() -> None:
    """Simulate a factory's sensors, and count what becomes of every message.

    \b
      egiz-sim demo --seconds 20
      egiz-sim run --devices 100 --seconds 60 --broker mqtt://localhost
      egiz-sim run --scenario wifi-outage --seconds 20
      egiz-sim load --rate 1000 --p99 500 --broker mqtt://localhost
      egiz-sim check --device-id oven-007 --proxy-port 1884
    """  # noqa: D301  # \b is click's mark for lines that stay as they are


main.add_command(run)
main.add_command(scenarios)
main.add_command(load)
main.add_command(check)
main.add_command(firmware)


@main.command(
    exit_codes={
        DONE: "every message that was published is archived",
        FAILED: "one is not, or a part failed",
    },
)
@click.option(
    "--seconds",
    envvar="DEMO_SECONDS",
    type=Real(1),
    help="Stop after so many seconds.  [env: DEMO_SECONDS; default: at Ctrl-C]",
)
@click.option(
    "--broker",
    type=click.Choice(["auto", "mosquitto", "embedded"]),
    default="auto",
    show_default=True,
    help="auto: Mosquitto if it is installed, else the embedded one.",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Serve other programs: on fixed ports, named in services.json here.",
)
@click.option(
    "--mqtt-port",
    type=click.IntRange(1, 65535),
    help="With --serve: port of the broker on 127.0.0.1.  [default: 11883]",
)
@click.option(
    "--http-port",
    type=click.IntRange(1, 65535),
    help="With --serve: port of the bridge's HTTP server there.  [default: 18080]",
)
def demo(
    seconds: float | None,
    broker: str,
    *,
    serve: bool,
    mqtt_port: int | None,
    http_port: int | None,
) -> None:
    """Run all of it: broker, bridge, archive, devices, firmware.

    24 simulated devices and a virtual board with the real firmware publish; the
    terminal shows what arrives. Everything is started on free ports and stopped at the
    end; the archive stays in a directory here.

    With --serve, a digital twin or a dashboard can be developed against it: the file
    services.json has the addresses of broker, bridge and archive while they run.

    \b
      egiz-sim demo --seconds 20
      egiz-sim demo --serve
    """  # noqa: D301  # as above
    if not serve and (mqtt_port or http_port):
        raise click.UsageError("--mqtt-port and --http-port are for --serve")
    ports = Ports(mqtt_port or _MQTT_PORT, http_port or _HTTP_PORT) if serve else None
    if ports and ports.mqtt == ports.http:
        raise click.UsageError(f"--mqtt-port and --http-port are both {ports.mqtt}")
    try:
        is_balanced = run_demo(broker, seconds, Console(), ports=ports)
    except (PartError, UnreachableError) as error:
        raise click.ClickException(str(error)) from None
    if not is_balanced:
        raise click.exceptions.Exit(FAILED)
