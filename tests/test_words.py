"""Words that once meant too many things here stay out (CONTRIBUTING, Glossary)."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
# An underscore ends a word, so that names are searched, too.
_OLD = re.compile(
    r"(?<![a-z])(told|tells|anew|good-bye|starves|settle[ds]?|heed|bury|nobody)(?![a-z])",
    re.IGNORECASE,
)
_OLD_IN_TEST_NAMES = re.compile(r"def test_\w*(?:told|nobody|whose)(?![a-z])")


def _found(pattern, lines):
    return [number for number, line in enumerate(lines, 1) if pattern.search(line)]


def _tracked(*patterns):
    command = ["git", "ls-files", *patterns]
    names = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    paths = [ROOT / name for name in names]
    return [path for path in paths if path.is_file() and path != Path(__file__)]


def test_no_file_has_a_word_that_the_glossary_replaced():
    for pattern, files in ((_OLD, ()), (_OLD_IN_TEST_NAMES, ("*.py",))):
        for path in _tracked(*files):
            lines = path.read_text(errors="replace").splitlines()
            places = [f"{path}:{number}" for number in _found(pattern, lines)]
            assert places == [], "an old word; see the glossary in CONTRIBUTING.md"


def test_an_old_word_is_noticed():
    lines = ["file.tell()", "def test_it_is_told():", "Nobody", "def test_whose():"]
    assert _found(_OLD, lines) == [2, 3]
    assert _found(_OLD_IN_TEST_NAMES, lines) == [2, 4]
