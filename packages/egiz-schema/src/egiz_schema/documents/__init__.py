"""Documents of the contract, generated from the messages that enforce it.

The rendered ones are in ``documents/v1`` and in the wheel. `egiz-schema generate`
writes them again, and a test fails when they differ from the code.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from egiz_schema.address import Topic
from egiz_schema.codec import TYPES
from egiz_schema.delivery import DELIVERY, Delivery
from egiz_schema.documents import json_schema
from egiz_schema.documents.asyncapi import asyncapi
from egiz_schema.documents.dictionary import dictionary_csv, dictionary_markdown
from egiz_schema.documents.examples import COLD_ROOM_BIRTH
from egiz_schema.documents.home_assistant import discovery
from egiz_schema.documents.pydantic_models import pydantic_models
from egiz_schema.documents.rules import rules_markdown
from egiz_schema.documents.typescript import typescript
from egiz_schema.limits import WIRE_VERSION
from egiz_schema.messages import Status

__all__ = [
    "DELIVERY",
    "DIRECTORY",
    "MODELS",
    "Delivery",
    "discovery",
    "pydantic_models",
    "render",
    "write",
]

DIRECTORY = Path(__file__).parent / f"v{WIRE_VERSION}"
# Generated, too, but a module of the package.
MODELS = Path(__file__).parent.parent / "models" / "generated.py"


def render() -> dict[str, str]:
    """Every document, by its file name."""
    schemas = {
        json_schema.file_name(kind): _json(json_schema.json_schema(kind))
        for kind in TYPES
    }
    return {
        **schemas,
        "asyncapi.json": _json(asyncapi()),
        "dictionary.csv": dictionary_csv(),
        "dictionary.md": dictionary_markdown(),
        "egiz.ts": typescript(),
        "home_assistant.json": _json(_discovered()),
        "rules.md": rules_markdown(),
    }


def _discovered() -> dict[str, Any]:
    """What is published for the cold room of the examples, once it is born."""
    birth = msgspec.convert(COLD_ROOM_BIRTH, Status)
    topic, payload = discovery(Topic("factory", birth.device_id, "status"), birth)
    return {"topic": topic, "retain": True, "payload": payload}


def write(directory: Path = DIRECTORY) -> list[Path]:
    """Write every document into `directory`, and return where they are.

    Raises:
        OSError: the directory cannot be made or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in render().items():
        path = directory / name
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
