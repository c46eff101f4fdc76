"""The firmware's sources are made smaller for a board, and mean the same."""

import ast
import io
import tokenize

import pytest
from egiz_edge_tools.bundle import sources
from egiz_edge_tools.compact import compacted

SOURCES = dict(sources("host")) | dict(sources("xtensawin"))
TEXTS = (tokenize.NAME, tokenize.OP, tokenize.STRING, tokenize.NUMBER)


def _tokens(code):
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return [(one.string, one.start[0]) for one in tokens if one.type in TEXTS]


def _without_const(code):
    """What `const` says to the compiler, and to no reader."""
    module = ast.parse(code)
    for statement in module.body:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const":
            statement.value = value.args[0]
    return ast.unparse(module)


@pytest.mark.parametrize("path", SOURCES)
def test_each_private_name_has_one_other_name_and_nothing_else_changes(path):
    before = ast.unparse(ast.parse(SOURCES[path].read_text()))
    after = _without_const(compacted(SOURCES[path].read_text()))
    given, free = {}, {}
    for (old, _), (new, _) in zip(_tokens(before), _tokens(after), strict=True):
        assert given.setdefault(old, new) == new
        assert free.setdefault(new, old) == old
        assert old == new or (old[0] == new[0] == "_" and len(new) <= len(old))


@pytest.mark.parametrize("path", SOURCES)
def test_the_lines_of_a_traceback_are_those_of_the_source(path):
    before = [row for text, row in _tokens(SOURCES[path].read_text()) if text == "def"]
    after = [row for text, row in _tokens(compacted(SOURCES[path].read_text()))]
    assert set(before) <= set(after)
    lines = compacted(SOURCES[path].read_text()).split("\n")
    assert all("def " in lines[row - 1] for row in before)


def test_names_of_libraries_public_names_and_texts_stay():
    code = 'import sys\n_x = 1 + 1\ny = sys._mpy, "_text", __name__, _x, _\n'
    assert compacted(code) == code.replace("_x", "_a")


def test_a_name_that_is_taken_is_given_to_no_other():
    assert compacted("_long = _a()\n") == "_b = _a()\n"


def test_a_private_literal_in_capitals_is_a_constant():
    assert compacted("_LIMIT = 5\n_PAIR = (1, 2)\n") == (
        "_LIMIT = const(5)\n_PAIR = const((1, 2))\n"
    )
