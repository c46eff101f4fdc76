"""The command lines that click makes, with all their commands."""

from collections.abc import Iterator, Sequence

import click
from egiz_bridge.cli.main import main as bridge
from egiz_edge_tools.cli import main as edge
from egiz_infra.cli import main as infra
from egiz_sim.cli import main as sim

PROGRAMS: dict[str, click.Group] = {
    "egiz-bridge": bridge,
    "egiz-edge": edge,
    "egiz-infra": infra,
    "egiz-sim": sim,
}


def commands_of(
    group: click.Group, path: Sequence[str]
) -> Iterator[tuple[str, click.Command]]:
    """Each command of a group, and of the groups in it, as it is typed after `path`."""
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from commands_of(found, [*path, name])
        yield " ".join([*path, name]), found
