"""The facts of each alert, for its section of the runbook."""

import re
from pathlib import Path

from mkdocs.utils.yaml import yaml_load

_HEADING = re.compile(r"^### (\w+)$", re.MULTILINE)


def with_facts(markdown: str, repository: Path) -> str:
    """The runbook with severity, delay and description below each heading."""
    rules = (repository / "infra/prometheus/alerts.yml").read_text()
    facts = {
        rule["alert"]: _facts(rule)
        for group in yaml_load(rules)["groups"]
        for rule in group["rules"]
    }
    return _HEADING.sub(lambda found: f"{found[0]}\n\n{facts[found[1]]}", markdown)


def _facts(rule: dict[str, dict[str, str]]) -> str:
    severity = rule["labels"]["severity"]
    after = f"after {rule['for']}" if "for" in rule else "immediately"
    # {{ $labels.x }} and the like are filled in by Prometheus.
    summary = re.sub(r"\{\{[^}]*\}\}", "…", rule["annotations"]["summary"])
    return f"*{severity.capitalize()}, {after}:* {summary}\n{{ .alert-facts }}"
