"""The command `egiz-sim check`."""

import asyncio
import json
import os
import sys
from pathlib import Path

import click
from egiz_cli import (
    DONE,
    FAILED,
    INTERRUPTED,
    OutputFile,
    Real,
    Unusable,
    command,
    ending_signals,
)
from egiz_schema import explain, limits
from egiz_schema.topics import is_device_id

from egiz_sim.broker import Broker
from egiz_sim.cli_broker import broker_options, facility_option
from egiz_sim.conformance import output
from egiz_sim.conformance.errors import CheckError, PortError
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.run import Result
from egiz_sim.conformance.run import check as run_check
from egiz_sim.reports import reporting

_PLAN = Plan("", "")


@command(
    exit_codes={
        DONE: "no rule failed",
        FAILED: "a rule failed, or the device or the broker cannot be reached",
        INTERRUPTED: "interrupted with Ctrl-C; the config that was found is put back",
    },
)
@click.option(
    "--device-id",
    required=True,
    metavar="TYPE-UNIT",
    help="The device, as it stands in the topic.",
)
@facility_option("factory", "The place, as it stands in the topic.")
@broker_options
@click.option(
    "--proxy-port",
    type=click.IntRange(1, 65535),
    help="Listen here for the device, and forward to the broker: shows what only its"
    " packets show, and makes outages. Everybody who reaches this port reaches the"
    " broker meanwhile.",
)
@click.option(
    "--watch-only",
    is_flag=True,
    help="Send nothing, and cut nothing: judge what comes by itself.",
)
@click.option(
    "--allow-reboot", is_flag=True, help="The device may be restarted, by command."
)
@click.option(
    "--interval-ms",
    default=_PLAN.interval_ms,
    show_default=True,
    type=click.IntRange(*limits.PUBLISH_MS),
    help="publish_rate_ms while it is checked.",
)
@click.option(
    "--outage",
    default=_PLAN.outage,
    show_default=True,
    type=Real(0.5, 3600),
    help="Seconds for which the connection is cut.",
)
@click.option(
    "--wait",
    default=_PLAN.wait,
    show_default=True,
    type=Real(1, 3600),
    help="Seconds to wait for the device, also after an outage.",
)
@click.option(
    "--answer",
    default=_PLAN.answer,
    show_default=True,
    type=Real(0.5, 3600),
    help="Seconds to wait for each answer.",
)
@click.option(
    "--watch",
    default=_PLAN.watch,
    show_default=True,
    type=Real(1, 1e6),
    help="Seconds that --watch-only lasts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--junit", type=OutputFile(), help="Write the verdicts here, as JUnit.")
def check(  # noqa: PLR0913, PLR0917  # one argument for each option
    device_id: str,
    facility: str,
    broker: Broker,
    proxy_port: int | None,
    watch_only: bool,
    allow_reboot: bool,
    interval_ms: int,
    outage: float,
    wait: float,
    answer: float,
    watch: float,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Hold a device to the contract, rule by rule.

    It watches one device, sends it configs and commands, cuts its connection, and says
    of each rule: pass, fail, or why it was not tried. Nothing that it sends harms a
    plant: the rate of messages changes, a light may blink. The retained config that it
    found is put back at the end, also at Ctrl-C.

    \b
    What a subscriber sees, and nothing is sent:
      egiz-sim check --device-id oven-007 --watch-only
    \b
    All of it; the device connects to port 1884 of this machine:
      egiz-sim check --device-id oven-007 --proxy-port 1884
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    plan = Plan(
        facility,
        device_id,
        proxy_port,
        interval_ms,
        wait,
        answer,
        outage,
        watch,
        watch_only,
        allow_reboot,
    )
    _check_device_id(plan.device_id)
    result = _run(broker, plan)
    with reporting({junit: output.junit(result)} if junit else {}):
        if as_json:
            click.echo(json.dumps(output.document(result), indent=1))
        else:
            click.echo("\n".join(output.table(result)))
    if not result.is_passed:
        raise click.exceptions.Exit(FAILED)


def _run(broker: Broker, plan: Plan) -> Result:
    if broker.tls:  # here, where a wait for its files can be interrupted
        broker.tls.context(plan.device_id)
    try:
        return asyncio.run(_interruptible(broker, plan))
    except asyncio.CancelledError:  # by a signal
        raise click.exceptions.Exit(INTERRUPTED) from None
    except PortError as error:
        raise Unusable(str(error)) from None
    except CheckError as error:
        raise click.ClickException(str(error)) from None


async def _interruptible(broker: Broker, plan: Plan) -> Result:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    # Not asyncio's own for Ctrl-C: at the second, it ends the connection, too.
    for number in ending_signals():
        loop.add_signal_handler(number, task.cancel)
    return await run_check(broker, plan, _say)


def _say(text: str) -> None:
    """Nothing that is missing on a terminal may keep it from putting back."""
    try:
        click.echo(text, err=True)
    except OSError:
        # What stays in its buffer would be an error of the interpreter's end, too.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  # until the end


def _check_device_id(device_id: str) -> None:
    if not is_device_id(device_id):
        reason = explain("bad_device_id")
        raise click.UsageError(f"--device-id {device_id!r}: {reason}")
