"""What a database says of a write that it refused: which rows and fields, and why.

Each database has its own words; those below are of InfluxDB 1, 2 and 3, and QuestDB.
Words that are not known say nothing of rows: what that means is decided elsewhere
(`pipeline/isolation.py`), by trying other rows.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from egiz_bridge.errors import (
    BEYOND_RETENTION,
    FIELD_TYPE_CONFLICT,
    REJECTED,
    Blame,
    Rejected,
)

SHOWN_MAX = 300  # characters of an answer that are worth a log line

# Whoever answers may send what makes a search slow, and no other thread runs meanwhile.
# So what is repeated has a bound, or ends where the next place begins.
_NAME = r"[^\"\\\n]{1,256}"
_WORD = r"\w{1,64}"
_NUMBER = r"(\d{1,9})(?!\d)"

# InfluxDB 1 and 2: input field "x" on measurement "y" is type float, already exists as
# type string. Of other faults of a field the type is not said: it is refused anyhow.
_FIELD = re.compile(
    rf'input field \\?"({_NAME})\\?" on measurement \\?"({_NAME})\\?" is'
    rf" (type|too long)? ?({_WORD})?"
)
# InfluxDB 1 and 2, for each line that is none: unable to parse 'line': why
_QUOTED = "unable to parse '"
# QuestDB: error in line 3: table: t, column: c; why
_NUMBERED = re.compile(
    rf"error in line {_NUMBER}: (?:table: ([^,;\n]{{1,256}})"
    r"(?:, column: ([^;\n]{1,256}))?; )?([^\n]*)"
)
_CAST = re.compile(rf"cast error from protocol type: ({_WORD})")
_COLUMN_NAME = re.compile(r"invalid column name: (.+)")
# InfluxDB 3, and its cloud before: of the line that is numbered beside it.
_COLUMN = re.compile(
    rf"column '([^'\n]{{1,256}})', expected \S{{1,128}}, got"
    rf" iox::column_type::field::({_WORD})"
    rf"|iox::column_type::field::({_WORD}) type into column (\S{{1,256}})"
)
_LINE = re.compile(rf"error (?:writing|parsing) line {_NUMBER}(?: \(1-based\))?: (.*)")

_DROPPED = re.compile(rf"dropped={_NUMBER}")
_RETENTION = re.compile(r"points? (?:beyond|outside) (?:the )?retention policy")
_NO_LOWER_BOUND = "Upper Bound"  # InfluxDB 2: too far in the future
_CONFLICT = "field type conflict"
# Each of these is said of rows only; the last one by Telegraf's listener.
_OF_ROWS = re.compile(
    rf"partial write|{_CONFLICT}|dropped=\d|{_QUOTED}|error in line \d{{1,9}}:"
    r"|error writing line \d{1,9}:|error parsing line \d{1,9} |metric parse error"
)
_TAG = re.compile(r"<[^<>]*>")


def rejection(message: str, answer: str, lines: Sequence[bytes]) -> Rejected:
    """The error of a refused request.

    Args:
        message: for people.
        answer: the text of the answer.
        lines: what was sent.
    """
    text, blames = words(answer), list(_blames(answer, lines))
    return Rejected(
        message,
        reason=_reason(text, blames),
        blames=blames,
        dropped=int(found[1]) if (found := _DROPPED.search(text)) else 0,
        # Of rows, and not only of the request.
        is_about_rows=bool(blames or _OF_ROWS.search(text) or _RETENTION.search(text)),
    )


def words(answer: str) -> str:
    """What a person would read of an answer: no JSON around it."""
    document = _document(answer)
    texts = [document.get(key) for key in ("message", "error")]
    texts += [item.get("error_message") for item in _items(document)]
    return "\n".join(t for t in texts if isinstance(t, str)) or answer


def shown(answer: str, secrets: Sequence[str]) -> str:
    """The words in one short line, without HTML, control characters or secrets."""
    text = words(answer)
    for secret in secrets:
        text = text.replace(secret, "***")
    if "<html" in text.lower():
        text = _TAG.sub(" ", text)
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:SHOWN_MAX]


def _reason(text: str, blames: Sequence[Blame]) -> str:
    if _RETENTION.search(text) and _NO_LOWER_BOUND not in text:
        return BEYOND_RETENTION
    if _CONFLICT in text or any(blame.type for blame in blames):
        return FIELD_TYPE_CONFLICT
    return REJECTED


def _blames(answer: str, lines: Sequence[bytes]) -> Iterator[Blame]:
    text = words(answer)
    for field, measurement, what, type_ in _FIELD.findall(text):
        of_type = _type(type_) if what == "type" else ""
        yield Blame(None, measurement, field, of_type, is_lasting=what != "too long")
    yield from _quoted(text, lines)
    for number, table, column, why in _NUMBERED.findall(text):
        yield _of_questdb(int(number) - 1, table, column, why)
    for number, why in _LINE.findall(text):
        yield _of_column(int(number) - 1, why)
    for item in _items(_document(answer)):
        number, why = item.get("line_number"), item.get("error_message")
        if isinstance(number, int) and isinstance(why, str):
            yield _of_column(number - 1, why)


def _quoted(text: str, lines: Sequence[bytes]) -> Iterator[Blame]:
    parts = text.split(_QUOTED)[1:]
    if not parts:
        return
    numbers = {line.decode(errors="replace"): n for n, line in enumerate(lines)}
    lengths = {len(line) for line in numbers}
    for part in parts:
        # A quote may be part of the line.
        ends = (match.start() for match in re.finditer("': ", part))
        ends = (end for end in ends if end in lengths)
        found = next((part[:end] for end in ends if part[:end] in numbers), None)
        if found is not None:
            yield Blame(numbers[found], is_sure=True)


def _of_questdb(row: int, table: str, column: str, why: str) -> Blame:
    if found := _COLUMN_NAME.search(why):
        return Blame(row, table, found[1], is_lasting=True)
    if found := _CAST.search(why):
        return Blame(row, table, column, _type(found[1]), is_lasting=True)
    return Blame(row, table, column)


def _of_column(row: int, why: str) -> Blame:
    found = _COLUMN.search(why)
    if found is None:
        return Blame(row)
    column, type_ = found[1] or found[4], found[2] or found[3]
    return Blame(row, "", column, _type(type_), is_lasting=True)


def _type(name: str) -> str:
    """As all databases call it: InfluxDB 1 once had float64, QuestDB has FLOAT."""
    return name.lower().rstrip("0123456789")


def _document(answer: str) -> dict[str, Any]:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _items(document: dict[str, Any]) -> list[dict[str, Any]]:
    data = document.get("data")
    listed = data if isinstance(data, list) else [data]
    return [item for item in listed if isinstance(item, dict)]
