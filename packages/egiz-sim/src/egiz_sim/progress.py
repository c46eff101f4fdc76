"""How far a fleet is, a line every two seconds."""

import asyncio

import click

from egiz_sim.fleet import Fleet

_EVERY_S = 2.0


async def show_progress(fleet: Fleet) -> None:
    """Print to stderr until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_S)
        connected = [d for d in fleet.devices if d.publisher.is_connected]
        waiting = next((d for d in fleet.devices if d not in connected), None)
        why = f" ({waiting.publisher.error}; retrying)" if waiting else ""
        click.echo(
            f"{len(connected)}/{len(fleet.devices)} connected{why},"
            f" {fleet.published:,} published, {fleet.acknowledged:,} acknowledged",
            err=True,
        )
