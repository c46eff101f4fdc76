"""Settings, as the programs that read them describe them."""

import subprocess
from pathlib import Path

from egiz_bridge.config.settings import described, env_name

_PAGE = """\
# Settings

Written by the programs themselves, when this site was built.

## The bridge

`egiz-bridge run --config FILE` reads TOML: `[mqtt] url` is `mqtt.url` below. Each
setting is also an environment variable, which wins: `mqtt.url` is `{example}`.
Several databases are several `[[influxdb]]` tables, each with a `name`.

{bridge}

## The installation on one machine

```text
{install}
```

## The installation in containers

`infra/.env`, as `infra/.env.example` has it. No secret is in it.

```sh
{compose}
```

## A device

What a board is given with `egiz-edge deploy --settings FILE` is described on the
[page of deployment](../device/deploy.md); what changes while it runs is the message
`config` of the [data dictionary](../contract/dictionary.md#config).
"""


def pages(repository: Path) -> dict[str, str]:
    """Uri -> text of the page."""
    install = subprocess.run(
        ["sh", repository / "infra/install.sh", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    text = _PAGE.format(
        example=env_name("mqtt.url"),
        bridge=_table(),
        install=install.rstrip(),
        compose=(repository / "infra/.env.example").read_text().rstrip(),
    )
    return {"reference/settings.md": text}


def _table() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for key, default, meaning in described():
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{key}` | {shown} | {meaning.replace('|', '&#124;')} |")
    return "\n".join(rows)
