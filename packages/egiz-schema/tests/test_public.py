"""What other teams' services import."""

import re
import subprocess
import sys
from pathlib import Path

import egiz_schema

README = Path(__file__).parents[1] / "README.md"


def test_all_is_sorted_and_complete():
    names = egiz_schema.__all__
    assert names == sorted(names)
    public = {
        name
        for name, value in vars(egiz_schema).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "").startswith("egiz_schema")
    }
    assert public <= set(names)
    assert all(hasattr(egiz_schema, name) for name in names)


def test_every_public_name_is_documented():
    for name in egiz_schema.__all__:
        if name not in {"Kind", "Message"}:  # aliases cannot be
            assert getattr(egiz_schema, name).__doc__, name


def test_import_needs_msgspec_and_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import egiz_schema;"
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names)
    # msgspec takes typing_extensions if it happens to be there.
    assert foreign - {"typing_extensions"} == {"egiz_schema", "msgspec"}


def test_the_examples_of_the_readme_run():
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        exec(compile(example, str(README), "exec"), {})
