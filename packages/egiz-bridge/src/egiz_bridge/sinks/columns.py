"""Which column of the archive holds a field.

People and devices choose names of arguments, zones and channels. SQLite takes two names
that differ only in case for one column, and a table cannot have any number of columns.
"""

import json
import re
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

# SQLite allows 2000. A table of as many is slow, but one device cannot fill it up.
COLUMNS_MAX = 1000
# The fields for which there is no column any more, as one JSON object.
OTHER = "other_fields"
_MARKED = re.compile(r" \([0-9a-f]{8}\)$")

Values = tuple[object, ...]


class Placed(NamedTuple):
    """The columns of some rows, and their values in the same order."""

    columns: tuple[str, ...]
    values: list[Values]


class Columns:
    """The columns of one table, in the order in which they were added.

    Args:
        db: of the archive.
        table: its name; it exists.
    """

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        self._db = db
        self._table = table
        names = [row[1] for row in db.execute(f"PRAGMA table_info({quoted(table)})")]
        self._names = set(names)
        self._folded = {name.lower() for name in names}

    def place(self, fields: tuple[str, ...], rows: list[Values]) -> Placed:
        """Where the fields go; columns that are not there are added.

        Args:
            fields: names of fields.
            rows: their values, one tuple for each row.
        """
        columns = [self._column_of(field) for field in fields]
        if None not in columns:
            return Placed(tuple(filter(None, columns)), rows)
        self._add(OTHER)
        kept = [index for index, name in enumerate(columns) if name is not None]
        other = [index for index, name in enumerate(columns) if name is None]
        names = tuple(filter(None, columns))
        return Placed(
            (*names, OTHER),
            [(*_chosen(row, kept), _object(fields, row, other)) for row in rows],
        )

    def _column_of(self, field: str) -> str | None:
        """The name of its column, or None if there is no room for one."""
        marked = f"{field} ({crc32(field.encode()):08x})"
        # A name that looks marked is marked itself, so that no two share a column.
        candidates = [marked] if _MARKED.search(field) else [field, marked]
        for name in candidates:
            if name in self._names:
                return name
        if len(self._names) >= COLUMNS_MAX:
            return None
        free = next(n for n in candidates if n.lower() not in self._folded)
        self._add(free)
        return free

    def _add(self, name: str) -> None:
        if name not in self._names:
            self._db.execute(
                f"ALTER TABLE {quoted(self._table)} ADD COLUMN {quoted(name)}"
            )
            self._names.add(name)
            self._folded.add(name.lower())


def quoted(name: str) -> str:
    """A name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def merged(column: str) -> str:
    """What a column becomes when the row is written again: new fields are added."""
    name = quoted(column)
    if column == OTHER:
        return f"{name} = json_patch(coalesce({name}, '{{}}'), excluded.{name})"
    return f"{name} = excluded.{name}"


def _chosen(row: Values, indexes: Iterable[int]) -> Values:
    return tuple(row[index] for index in indexes)


def _object(fields: tuple[str, ...], row: Values, indexes: Iterable[int]) -> str:
    return json.dumps({fields[index]: row[index] for index in indexes})
