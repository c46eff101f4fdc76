"""The firmware's sources are made smaller for a board, and mean the same."""

import ast
import io
import tokenize

import pytest
from egiz_edge_tools.bundle import sources
from egiz_edge_tools.compact import (
    compacted,
    literals_of,
    with_literals,
    with_own_literals,
    without_unused,
    without_unused_imports,
)

SOURCES = dict(sources("host")) | dict(sources("xtensawin"))
TEXTS = (tokenize.NAME, tokenize.OP, tokenize.STRING, tokenize.NUMBER)


def _tokens(code):
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return [(one.string, one.start[0]) for one in tokens if one.type in TEXTS]


def _parsed(code):
    """Without `const`, which says something to the compiler only."""
    module = ast.parse(code)
    for statement in module.body:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const":
            statement.value = value.args[0]
    return module


def _shape(module):
    """The code without any of its names."""
    for node in ast.walk(module):
        for field in ("id", "arg", "attr", "name"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, "x")
    return ast.dump(module)


def _one_to_one(pairs):
    """Whether no name has two others, nor two names one; none is longer."""
    given, free = {}, {}
    return all(
        given.setdefault(old, new) == new
        and free.setdefault(new, old) == old
        and (old == new or (new[0] == "_" and len(new) <= len(old)))
        for old, new in pairs
    )


def _names(before, after, fields):
    for old, new in zip(ast.walk(before), ast.walk(after), strict=True):
        for field in fields:
            if isinstance(getattr(old, field, None), str):
                yield getattr(old, field), getattr(new, field)


@pytest.mark.parametrize("path", SOURCES)
def test_the_code_is_the_same_but_for_names_that_nothing_else_knows(path):
    source = SOURCES[path].read_text()
    before, after = _parsed(source), _parsed(compacted(source))
    assert _one_to_one(_names(before, after, ("attr",)))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for old, new in zip(ast.walk(before), ast.walk(after), strict=True):
        if isinstance(old, functions):
            assert _one_to_one(_names(old, new, ("id", "arg")))
    assert _shape(before) == _shape(after)


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


def test_arguments_are_short_unless_a_call_names_them():
    code = "def _f(self, first, named):\n    return lambda last: first + last + named\n"
    code += "_f(0, 1, named=2)\n"
    short = code.replace("_f", "_a").replace("first", "_b").replace("last", "_a")
    assert compacted(code) == short


def test_arguments_of_public_functions_are_short_unless_a_call_may_name_them():
    code = "def f(first, other, optional=0):\n    return first + other + optional\n"
    short = code.replace("first", "_a")
    assert compacted(code, ["other"]) == short


def test_an_argument_of_a_function_within_another_gets_a_name_of_its_own():
    code = "def f(outer):\n    return lambda inner: outer + inner\n"
    short = code.replace("outer", "_a").replace("inner", "_b")
    assert compacted(code) == short


def test_literals_of_another_module_are_put_where_its_names_are_used():
    literals = literals_of("A = 1\nPAIR = (2, -3)\nOTHER = A + 1\n")
    code = "if limits.A in limits.PAIR or limits.OTHER or limits.is_text(x):\n    A\n"
    expected = "if 1 in (2, -3) or limits.OTHER or limits.is_text(x):\n    A\n"
    assert with_literals(code, "egiz_schema.limits", literals) == expected


def test_a_literal_is_not_imported_and_the_lines_stay():
    code = "from a.b import (\n    ONE,\n    f,\n)\n\nprint(f(ONE), c.ONE, 'ONE')\n"
    expected = "from a.b import f\n\n\n\n\nprint(f(1), c.ONE, 'ONE')\n"
    assert with_literals(code, "a.b", {"ONE": "1", "TWO": "2"}) == expected
    assert with_literals("from a.b import ONE\n", "a.b", {"ONE": "1"}) == "\n"
    other = "from a.c import ONE\n\nprint(ONE)\n"
    assert with_literals(other, "a.b", {"ONE": "1"}) == other


def test_a_file_uses_its_own_literals_and_defines_them():
    code = "ONE = 1\n\n\ndef f(x):\n    return x > ONE and x.ONE\n"
    assert with_own_literals(code) == code.replace("> ONE", "> 1")


def test_what_no_file_uses_is_left_out_and_the_lines_stay():
    code = "A = 1\nB = (\n    A,\n    2,\n)\nC = 3\n"
    code += "\n\ndef f():\n    return D\n\n\nD = 4\n"
    assert without_unused(code, ["C"]) == "\n\n\n\n\nC = 3\n" + "\n" * 7
    assert without_unused(code, ["f(B)", "C"]) == code


def test_a_module_of_which_no_name_is_left_is_not_imported_and_the_lines_stay():
    code = """
from egiz_edge import boot_loop, timeouts
from egiz_edge import (
    names,
)
import gc
boot_loop.read(30000)
"""
    assert (
        without_unused_imports(code)
        == """
from egiz_edge import boot_loop



import gc
boot_loop.read(30000)
"""
    )
