"""The pages of the contract that are made of its documents."""

import json
from pathlib import Path
from typing import Any

_DOCUMENTS = "packages/egiz-schema/src/egiz_schema/documents/v1"
_SUFFIXES = (".json", ".csv", ".ts")
_KINDS = ("telemetry", "status", "config", "command")
_SCHEMAS = """\
# Schemas and types

JSON Schema (2020-12) of each message, and the same rules for other tools. All are
generated from the message types; a test fails when they differ.

| document | describes |
|---|---|
{schemas}\
| [egiz.ts](v1/egiz.ts) | TypeScript types of all four messages |
| [dictionary.csv](v1/dictionary.csv) | the data dictionary as a table |
| [asyncapi.json](v1/asyncapi.json) | topics and messages: [AsyncAPI](asyncapi.md) |
| [home_assistant.json](v1/home_assistant.json) | an example for Home Assistant |
"""


def pages(repository: Path) -> dict[str, str]:
    """Uri -> text: pages, and the documents themselves, to be downloaded."""
    documents = {
        path.name: path.read_text()
        for path in sorted((repository / _DOCUMENTS).iterdir())
        if path.suffix in _SUFFIXES
    }
    return {
        "contract/schemas.md": _schemas(),
        "contract/asyncapi.md": _asyncapi(json.loads(documents["asyncapi.json"])),
        **{f"contract/v1/{name}": text for name, text in documents.items()},
    }


def _schemas() -> str:
    names = [(kind, f"{kind}.schema.json") for kind in _KINDS]
    rows = [f"| [{name}](v1/{name}) | `{kind}` |\n" for kind, name in names]
    return _SCHEMAS.format(schemas="".join(rows))


def _asyncapi(document: dict[str, Any]) -> str:
    rows = [
        "# AsyncAPI\n",
        document["info"]["description"] + " The whole document: "
        "[asyncapi.json](v1/asyncapi.json), AsyncAPI " + document["asyncapi"] + ".\n",
        "*Sends* and *receives* are said of the device.\n",
        "| topic | the device | QoS | retained |\n|---|---|---|---|",
    ]
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"].rpartition("/")[2]
        mqtt = operation["bindings"]["mqtt"]
        address = document["channels"][channel]["address"]
        retained = "yes" if mqtt["retain"] else "no"
        rows.append(
            f"| `{address}` | {operation['action']}s | {mqtt['qos']} | {retained} |"
        )
    rows.append("\n## Messages")
    for name, message in document["components"]["messages"].items():
        rows += [f"\n### {name}", *_examples(message)]
    will = document["servers"]["broker"]["bindings"]["mqtt"]["lastWill"]
    rows += ["\n## Last will\n", f"On `{will['topic']}`, retained:\n"]
    rows.append(f"```json\n{will['message']}\n```")
    return "\n".join(rows)


def _examples(message: dict[str, Any]) -> list[str]:
    shown = [example["payload"] for example in message.get("examples", ())]
    return [f"\n```json\n{json.dumps(one, indent=2)}\n```" for one in shown]
