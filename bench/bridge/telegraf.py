"""Telegraf from its Go module, with only the plugins that the task needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_MODULE = "github.com/influxdata/telegraf/cmd/telegraf@latest"
_PLUGINS = (
    "inputs.mqtt_consumer",
    "outputs.influxdb_v2",
    "parsers.json",
    "processors.converter",
    "processors.regex",
    "processors.starlark",
    "serializers.influx",
)
_HERE = Path(__file__).parent
_BUILT = _HERE / ".built"  # ignored by git
CONFIG = _HERE.parents[1] / "infra/telegraf/telegraf.conf"


def build() -> Path | None:
    """The program; nothing, with a sentence, where it cannot be had."""
    program = _BUILT / "telegraf"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        print("Telegraf is left out: there is no go to build it", file=sys.stderr)
        return None
    print("building Telegraf, once: a minute or more", file=sys.stderr)
    tags = ",".join(("custom", *_PLUGINS))
    environment = {**os.environ, "GOBIN": str(_BUILT), "CGO_ENABLED": "0"}
    built = subprocess.run(
        [go, "install", "-tags", tags, _MODULE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        print(f"Telegraf is left out: {built.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return program


def version(program: Path) -> str:
    """Name and version of the module that it was built from."""
    printed = subprocess.run(
        ["go", "version", "-m", program], capture_output=True, text=True, check=True
    )
    for line in printed.stdout.splitlines():
        if line.split()[:1] == ["mod"]:
            return f"Telegraf {line.split()[2]}"
    return "Telegraf"
