"""What `egiz-schema explain` says of a name: of a field, a quantity, or a reason."""

import difflib
import re
from collections.abc import Iterator

from egiz_schema.documents.dictionary import Row, rows
from egiz_schema.errors import explain, reasons
from egiz_schema.quantities import QUANTITIES


def explained(wanted: str) -> str:
    """All that has this name, or else all names of which it is a part.

    Raises:
        ValueError: nothing has; the sentence says what is spelled alike.
    """
    if wanted in _reasons():
        return f"{wanted}: {explain(wanted)}"
    fields = {f"{row['kind']}.{row['path']}": row for row in rows()}
    descriptions = [
        _description(row)
        for name, row in fields.items()
        if _is_named(row, name, wanted)
    ]
    if descriptions:
        return "\n\n".join(descriptions)
    found = list(_listed(wanted, fields))
    if not found:
        raise ValueError(_nothing(wanted, fields))
    return "\n".join(found)


def _is_named(row: Row, name: str, wanted: str) -> bool:
    of_item = re.sub(r"_\d+", "_N", wanted)  # temperature_zones_0 is one of many
    return wanted in {name, row["path"]} or (
        wanted != "" and of_item == row["influx_field"]
    )


def _listed(wanted: str, fields: dict[str, Row]) -> Iterator[str]:
    """A line for each name of which it is a part; without it, for each field."""
    part = wanted.lower().replace("-", "_").replace(" ", "_")
    for name, row in fields.items():
        if part in name or part in row["influx_field"]:
            yield _line(name, row["meaning"])
    for name in QUANTITIES:
        if part and part in name:
            yield _line(name, _quantity(name))
    for code in sorted(_reasons()):
        if part and part in code:
            yield _line(code, explain(code))


def _nothing(wanted: str, fields: dict[str, Row]) -> str:
    names = [row["path"] for row in fields.values()] + list(QUANTITIES)
    near = difflib.get_close_matches(wanted, names, 3)
    hint = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    return f"no field {wanted!r}{hint}"


def _reasons() -> set[str]:
    return {code for codes in reasons().values() for code in codes}


def _line(name: str, meaning: str) -> str:
    return f"{name:44}{meaning}"


def _quantity(name: str) -> str:
    known = QUANTITIES[name]
    unit = f"in {known.unit}" if known.unit else "true or false"
    span = f", {known.low:g} to {known.high:g}" if known.unit else ""
    shown = f"; Home Assistant: {known.device_class}" if known.device_class else ""
    return f"a quantity of channels, {unit}{span}{shown}"


def _description(row: Row) -> str:
    lines = [f"{row['kind']}.{row['path']}: {row['meaning']}"]
    facts = list(row.items())[2:]
    lines += [
        f"  {name:13}{fact}" for name, fact in facts if fact and name != "meaning"
    ]
    return "\n".join(lines)
