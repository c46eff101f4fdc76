"""Source code as a board gets it: with fewer names, and the same lines.

A board keeps every name of its program in memory, each once, and never forgets one.
"""

import ast
import functools
import io
import itertools
import re
import string
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator

_Function = ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef


def compacted(code: str, named: Iterable[str] = ()) -> str:
    """What the compiler gets; code with an error in it, as it is.

    Args:
        code: a file of the firmware.
        named: arguments that calls in other files name (`named_in_calls`).
    """
    try:
        module = ast.parse(code)
    except SyntaxError:
        return code  # the compiler reports the error
    code = _with_short_names(_with_constants(code, module), module)
    return _with_short_arguments(code, {*named, *named_in_calls(code)})


def named_in_calls(code: str) -> set[str]:
    """Arguments that calls in this code name; of code with an error in it, none."""
    try:
        module = ast.parse(code)
    except SyntaxError:
        return set()
    nodes = ast.walk(module)
    return {n.arg for n in nodes if isinstance(n, ast.keyword) and n.arg is not None}


def literals_of(code: str) -> dict[str, str]:
    """Names that a file gives literals to, at its top, and the source of each."""
    found = {}
    for statement in ast.parse(code).body:
        name = _defined_by(statement)
        if name and name.isupper() and isinstance(statement, ast.Assign):
            try:
                found[name] = repr(ast.literal_eval(statement.value))
            except ValueError:
                continue  # it is worked out
    return found


def with_literals(code: str, module: str, literals: dict[str, str]) -> str:
    """Put the literals of a module where its names are used, and import none of them.

    What is left of it is then little (`without_unused`), and quickly loaded.

    Args:
        code: a file of the firmware, or the module itself.
        module: its whole name.
        literals: those of `literals_of`.
    """
    short = module.rpartition(".")[2]
    if short not in code:
        return code
    code, imported = _without_imports(code, module, literals)
    code = _with_values(code, {name: literals[name] for name in imported})
    return re.sub(
        rf"\b{short}\.([A-Z0-9_]+)\b",
        lambda found: literals.get(found[1], found[0]),
        code,
    )


def with_own_literals(code: str) -> str:
    """Put the literals of a file where it uses their names."""
    return _with_values(code, literals_of(code))


def _without_imports(
    code: str, module: str, literals: dict[str, str]
) -> tuple[str, set[str]]:
    """The code with the same lines, and the names that it imported."""
    lines, imported = code.split("\n"), set()
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.ImportFrom) or statement.module != module:
            continue
        names = [one.name for one in statement.names]
        rest = [name for name in names if name not in literals]
        imported |= set(names) - set(rest)
        end = statement.end_lineno or statement.lineno
        lines[statement.lineno - 1 : end] = [""] * (end - statement.lineno + 1)
        if rest:
            lines[statement.lineno - 1] = f"from {module} import {', '.join(rest)}"
    return "\n".join(lines), imported


def _with_values(code: str, values: dict[str, str]) -> str:
    """With each name replaced by its value, but where it is defined."""
    if not values:
        return code
    lines = code.split("\n")
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    for before, token in reversed([*itertools.pairwise(tokens)]):
        (row, start), value = token.start, values.get(token.string)
        is_use = start and before.string != "."
        if token.type == tokenize.NAME and value is not None and is_use:
            line = lines[row - 1]
            lines[row - 1] = line[:start] + value + line[token.end[1] :]
    return "\n".join(lines)


def without_unused_imports(code: str) -> str:
    """Import no module of ours at the top of a file that uses none of its names.

    That is so where its literals have taken their places. Lines stay where they are.
    """
    lines, used = code.split("\n"), _names_in(code)
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.ImportFrom) or statement.module != "egiz_edge":
            continue
        kept = [one.name for one in statement.names if used[one.name] > 1]
        end = statement.end_lineno or statement.lineno
        if len(kept) < len(statement.names):
            lines[statement.lineno - 1 : end] = [""] * (end - statement.lineno + 1)
        if kept and len(kept) < len(statement.names):
            lines[statement.lineno - 1] = f"from egiz_edge import {', '.join(kept)}"
    return "\n".join(lines)


def without_unused(code: str, others: list[str]) -> str:
    """Leave out what is defined at the top of a file, and that no file uses.

    The contract has limits of messages that a device neither sends nor receives. Lines
    stay where they are.
    """
    used: Counter[str] = Counter()
    for other in others:
        used.update(_names_in(other))
    while True:
        own = used + _names_in(code)
        idle = [
            statement
            for statement in ast.parse(code).body
            if (name := _defined_by(statement)) and own[name] == 1
        ]
        if not idle:
            return code
        lines = code.split("\n")
        for statement in idle:
            for row in range(statement.lineno - 1, statement.end_lineno or 0):
                lines[row] = ""
        code = "\n".join(lines)


@functools.lru_cache(maxsize=128)  # each file is one of the others of several
def _names_in(code: str) -> Counter[str]:
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return Counter(one.string for one in tokens if one.type == tokenize.NAME)


def _defined_by(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.FunctionDef):
        return statement.name
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


def _with_constants(code: str, module: ast.Module) -> str:
    """Tell the compiler which names are constants: they then cost the heap nothing.

    `const` is MicroPython's alone, and so it is not in the sources: a private name in
    capitals that a literal is given to is one.
    """
    lines = code.encode().split(b"\n")
    for statement in reversed(module.body):
        if not isinstance(statement, ast.Assign) or not _is_constant(statement):
            continue
        value = statement.value
        last = (value.end_lineno or 0) - 1
        lines[last] = _inserted(lines[last], value.end_col_offset or 0, b")")
        first = value.lineno - 1
        lines[first] = _inserted(lines[first], value.col_offset, b"const(")
    return b"\n".join(lines).decode()


def _is_constant(statement: ast.Assign) -> bool:
    (target, *others), value = statement.targets, statement.value
    if others or not isinstance(target, ast.Name):
        return False
    if not (target.id.startswith("_") and target.id.isupper()):
        return False
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    return all(isinstance(part, ast.Constant) for part in parts)


def _inserted(line: bytes, at: int, text: bytes) -> bytes:
    return line[:at] + text + line[at:]


def _with_short_names(code: str, module: ast.Module) -> str:
    """Shorten private names, in each file from `_a` on: the files then share them.

    Only names that the file itself defines: those of a library stay. The compiler
    must still see that a constant's name is private, so those are left as they are.
    """
    constants = {
        statement.targets[0].id
        for statement in module.body
        if isinstance(statement, ast.Assign)
        and _is_constant(statement)
        and isinstance(statement.targets[0], ast.Name)
    }
    private = {name for name in _defined(module) if _is_private(name)} - constants
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    used = Counter(token.string for token in tokens if token.string in private)
    taken = {token.string for token in tokens} - private
    free = (name for name in _short_names() if name not in taken)
    short = dict(zip((name for name, _ in used.most_common()), free, strict=False))
    lines = code.split("\n")
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string in short:
            row, start = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:start] + short[token.string] + line[token.end[1] :]
    return "\n".join(lines)


def _with_short_arguments(code: str, named: set[str]) -> str:
    """Shorten arguments, as private names are.

    What a call names keeps its name, and so does what is bound again within the
    function, and an argument of a public one that may be left out: calls name those.
    """
    module = ast.parse(code)
    lines = code.encode().split(b"\n")
    places: dict[tuple[int, int], tuple[str, str]] = {}
    around: dict[ast.AST, set[str]] = {}  # names of the functions around one
    for function in ast.walk(module):
        if isinstance(function, _Function):
            found = _shortened(function, named, around.get(function, set()))
            places |= found
            names = _used_in(function) | {new for _, new in found.values()}
            for inner in ast.walk(function):
                if isinstance(inner, _Function):
                    around.setdefault(inner, set()).update(names)
    for (row, start), (old, new) in sorted(places.items(), reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:start] + new.encode() + line[start + len(old) :]
    return b"\n".join(lines).decode()


def _shortened(
    function: _Function, named: set[str], around: set[str]
) -> dict[tuple[int, int], tuple[str, str]]:
    """Where a name of an argument begins: that name, and its shorter one."""
    if any(isinstance(node, ast.JoinedStr) for node in ast.walk(function)):
        return {}  # before Python 3.12, the names in one have no place
    arguments = _required(function)
    inner = [*_bound_within(function)]
    taken = _used_in(function) | around
    taken.update(inner, (one.arg for one in function.args.args))
    free = (name for name in _short_names() if name not in taken)
    short = {
        name: new
        for name, new in zip(arguments, free, strict=False)
        if len(name) > len(new) and name not in {"self", *named, *inner}
    }
    found = {}
    for node in ast.walk(function):
        if isinstance(node, ast.arg | ast.Name):
            name = node.arg if isinstance(node, ast.arg) else node.id
            if name in short:
                found[node.lineno, node.col_offset] = (name, short[name])
    return found


def _used_in(function: _Function) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def _required(function: _Function) -> list[str]:
    """Its arguments; of a public function, those that must be given."""
    arguments = [one.arg for one in function.args.args]
    if isinstance(function, ast.Lambda) or _is_private(function.name):
        return arguments
    return arguments[: len(arguments) - len(function.args.defaults)]


def _bound_within(function: _Function) -> Iterator[str]:
    """Arguments of functions within one, and exceptions."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg) and node not in function.args.args:
            yield node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def _defined(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def _is_private(name: str) -> bool:
    return len(name) > 1 and name.startswith("_") and not name.endswith("__")


def _short_names() -> Iterator[str]:
    """`_a` to `_Z`, then `_aa` and so on."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_letters, repeat=length):
            yield "_" + "".join(letters)
