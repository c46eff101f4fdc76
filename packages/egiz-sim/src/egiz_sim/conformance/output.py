"""A result for people, as JSON, and as JUnit XML."""

import textwrap
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from egiz_sim.conformance.rules import Verdict
from egiz_sim.conformance.run import Result

WIDTH = 80
_MARKS = {"pass": "pass", "fail": "FAIL", "not tried": "-"}
_ID_WIDTH = 22


def table(result: Result) -> Iterator[str]:
    """Lines of at most 80 columns."""
    for verdict in result.verdicts:
        yield from _row(verdict)
    for note in result.notes:
        yield from _wrapped(f"Note: {note}", "")
    plan = result.plan
    yield (
        f"{plan.device_id}: {result.count('pass')} passed,"
        f" {result.count('fail')} failed, {result.count('not tried')} not tried,"
        f" in {result.seconds:.0f} s"
    )


def _row(verdict: Verdict) -> Iterator[str]:
    head = f"{_MARKS[verdict.verdict]:4}  {verdict.rule.id:{_ID_WIDTH}}"
    indent = " " * len(head)
    yield from textwrap.wrap(head + verdict.rule.says, WIDTH, subsequent_indent=indent)
    if verdict.verdict == "not tried":
        yield from _wrapped(f"not tried: {verdict.details[0]}", indent)
    if verdict.verdict == "fail":
        for detail in verdict.details:
            yield from _wrapped(f"seen: {detail}", indent)
        yield from _wrapped(f"mend: {verdict.rule.mend}", indent)


def _wrapped(text: str, indent: str) -> list[str]:
    # What the device has sent may be anything.
    shown = "".join(c if c.isprintable() else "?" for c in text)
    hanging = indent + "  "
    return textwrap.wrap(shown, WIDTH, initial_indent=indent, subsequent_indent=hanging)


def document(result: Result) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "facility": result.plan.facility,
        "device_id": result.plan.device_id,
        "seconds": round(result.seconds, 1),
        "passed": result.is_passed,
        "counts": {name: result.count(name) for name in _MARKS},
        "notes": result.notes,
        "rules": [
            {
                "id": each.rule.id,
                "verdict": each.verdict,
                "details": list(each.details),
                "says": each.rule.says,
                "tried": each.rule.tried,
                "mend": each.rule.mend,
            }
            for each in result.verdicts
        ],
    }


def junit(result: Result) -> bytes:
    """A test suite, of which each rule is a case."""
    suite = ET.Element(
        "testsuite",
        name=f"egiz-sim check {result.plan.facility}/{result.plan.device_id}",
        tests=str(len(result.verdicts)),
        failures=str(result.count("fail")),
        skipped=str(result.count("not tried")),
        errors="0",
        time=f"{result.seconds:.1f}",
    )
    for each in result.verdicts:
        group, _, name = each.rule.id.partition(".")
        case = ET.SubElement(suite, "testcase", classname=group, name=name)
        text = _clean("; ".join(each.details))
        if each.verdict == "fail":
            failure = ET.SubElement(case, "failure", message=text)
            failure.text = f"{each.rule.says}\nmend: {each.rule.mend}"
        elif each.verdict == "not tried":
            ET.SubElement(case, "skipped", message=text)
    ET.indent(suite)
    text = ET.tostring(suite, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n".encode()


def _clean(text: str) -> str:
    """XML 1.0 has no control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)
