"""The report of a load as JUnit's XML, which build servers read."""

import xml.etree.ElementTree as ET  # it writes, and reads nothing
from typing import Any

_CHILD = {"failed": "failure", "unknown": "error", "not measured": "skipped"}


def junit(report: dict[str, Any]) -> str:
    """One test case for each check; unknown is an error, not measured is skipped."""
    results = [check["result"] for check in report["checks"]]
    suite = ET.Element(
        "testsuite",
        name="egiz-sim load",
        tests=str(len(results)),
        failures=str(results.count("failed")),
        errors=str(results.count("unknown")),
        skipped=str(results.count("not measured")),
        time=f"{report['elapsed_s']:g}",
    )
    for check in report["checks"]:
        case = ET.SubElement(
            suite, "testcase", classname="egiz_sim.load", name=check["name"]
        )
        if child := _CHILD.get(check["result"]):
            ET.SubElement(case, child, message=check["text"])
        else:
            ET.SubElement(case, "system-out").text = check["text"]
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
