"""The README says what is so."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# Pages that `make docs` writes; it fails at a link to one that it does not write.
GENERATED = re.compile(
    r"docs/(reference/(commands/[a-z-]+|settings)|contract/(schemas|asyncapi))\.md"
)


def test_its_example_runs_and_is_about_ten_lines():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        found = (path.parent / target).resolve()
        generated = GENERATED.fullmatch(str(found.relative_to(ROOT)))
        assert found.exists() or generated, target


def test_every_make_target_that_is_documented_exists():
    named = set(re.findall(r"^ {4}make (\w+)", README, re.MULTILINE))
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named |= set(re.findall(r"`?make (\w+)", contributing))
    makefile = (ROOT / "Makefile").read_text()
    assert named <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert {"demo", "test"} <= named


def test_contributing_is_short_and_its_glossary_complete():
    rules, _, glossary = (ROOT / "CONTRIBUTING.md").read_text().partition("## Glossary")
    assert len(rules.splitlines()) < 45
    words = re.findall(r"^\| ([a-z][a-z -]+) \| (.+) \|$", glossary, re.MULTILINE)[1:]
    assert len(words) >= 30
    assert [word for word, _ in words] == sorted({word for word, _ in words})


def test_make_installs_into_its_environments_whatever_pip_does_elsewhere():
    elsewhere = dict.fromkeys(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"), "/nowhere")
    shown = "$$PIP_USER$$PIP_TARGET$$PIP_PREFIX$$PIP_ROOT"
    done = subprocess.run(
        # Within a make, as in CI, it would print the directory.
        ["make", "--no-print-directory", "--eval", f"show: ; @echo {shown}", "show"],
        cwd=ROOT,
        env={**os.environ, "PIP_USER": "1", **elsewhere},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"


def test_a_clone_has_the_line_ends_that_its_programs_need(tmp_path):
    """Git for Windows changes them, and so may a user's own setting."""
    clone = ("git", "-c", "core.autocrlf=true", "clone", "--quiet", "--depth=1")
    origin = f"file://{ROOT}"
    subprocess.run([*clone, origin, tmp_path / "clone"], check=True)
    files = [path for path in (tmp_path / "clone").rglob("*") if path.is_file()]
    texts = [path for path in files if b"\0" not in path.read_bytes()]
    texts = [path for path in texts if ".git" not in path.parts]
    assert len(texts) > 500
    assert [path for path in texts if b"\r\n" in path.read_bytes()] == []
