"""`hatch run dashboards`: write the JSON that Grafana reads."""

from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Panel

from egiz_dashboards import device, fleet, ingestion, lines
from egiz_dashboards.alerts import link_to_runbook

DIRECTORY = Path(__file__).parents[1] / "dashboards"
BOARDS = {
    "device": device.board,
    "fleet": fleet.board,
    "ingestion": ingestion.board,
    "lines": lines.board,
}


def rendered() -> dict[str, str]:
    """The text of each file, by its name."""
    return {f"{name}.json": _text(name, board()) for name, board in BOARDS.items()}


def _text(name: str, board: Dashboard) -> str:
    made = board.build()
    for number, panel in enumerate(made.panels or [], 1):
        panel.id_val = number  # a link to a panel stays a link
        if isinstance(panel, Panel):
            link_to_runbook(name, panel)
    return JSONEncoder(sort_keys=True, indent=2).encode(made) + "\n"


if __name__ == "__main__":
    for name, text in rendered().items():
        (DIRECTORY / name).write_text(text)
        print(DIRECTORY / name)
