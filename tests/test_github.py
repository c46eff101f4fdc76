"""What GitHub reads: it is valid, and runs only what people can type as well."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
FILES = sorted(GITHUB.rglob("*.yml"))
SCHEMAS = {
    "workflows/ci.yml": "github-workflows",
    "ISSUE_TEMPLATE/config.yml": "github-issue-config",
    "ISSUE_TEMPLATE/bug.yml": "github-issue-forms",
    "ISSUE_TEMPLATE/feature.yml": "github-issue-forms",
}
WORKFLOW = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text())
STEPS = WORKFLOW["jobs"]["readme"]["steps"]
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_github_accepts_the_file(path):
    schema = f"vendor.{SCHEMAS[path.relative_to(GITHUB).as_posix()]}"
    command = ("-m", "check_jsonschema", "--builtin-schema", schema, str(path))
    done = subprocess.run(
        (sys.executable, *command), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_runs_the_commands_of_the_readme_and_no_other():
    runs = [step["run"] for step in STEPS if "run" in step]
    assert runs == ["make check", "make demo", "make test"]
    (demo,) = (step for step in STEPS if step.get("run") == "make demo")
    assert demo["env"] == {"DEMO_SECONDS": "20"}
    readme = (ROOT / "README.md").read_text()
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", readme))


def test_the_workflow_uses_every_python_that_is_promised_and_no_action_of_others():
    matrix = WORKFLOW["jobs"]["readme"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    used = [step["uses"].partition("@")[0] for step in STEPS if "uses" in step]
    assert used == ["actions/checkout", "actions/setup-python"]
    assert WORKFLOW["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(
    "path", [p for p in GITHUB.rglob("*") if p.is_file()], ids=lambda path: path.name
)
def test_every_make_target_that_is_named_exists(path):
    assert set(re.findall(r"make ([a-z]+)\b(?=$|`|,)", path.read_text())) <= TARGETS
