"""What code defines, makes public, uses and imports, read off its syntax without running it.

In: Python source. Out: sets of names. Read next: `importing.py`, which compares them with what is there when
the module is imported.
"""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Iterable, Iterator

from wiggly.notebook.python import quiet_parse

__all__ = ["binding_line", "defined_names", "public_names", "star_imports", "unbound_names", "uses_of"]

#: Names every module has.
OF_MODULES = frozenset(
    {
        "__annotations__",
        "__builtins__",
        "__cached__",
        "__debug__",
        "__dict__",
        "__doc__",
        "__file__",
        "__loader__",
        "__name__",
        "__package__",
        "__path__",
        "__spec__",
        "__conditional_annotations__",
    }
)
PATCHES = ("patch", "patch_to")  # of fastcore: such a function becomes a method and leaves no name
TYPE_ALIAS = getattr(ast, "TypeAlias", ())  # `type X = int`, Python 3.12


def public_names(sections: Iterable[tuple[str, bool]]) -> list[str]:
    """The names for `__all__`: what cells define at their outermost level.

    What begins with an underscore is not among them, nor what is imported; a list `_all_` adds to them. The
    order is nbdev's: what is assigned, then functions and classes, then those of `_all_`.

    Args:
        sections: Code of cells, and whether its names stay inside.

    Example:
        >>> code = "import os\\ndef f(): pass\\n_g = x = 1\\n_all_ = ['os']"
        >>> public_names([(code, False), ("y = 2", True)])
        ['x', 'f', 'os']
    """
    assigned: list[str] = []
    defined: list[str] = []
    added: list[str] = []
    for node in (node for code, internal in sections if not internal for node in quiet_parse(code).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined += [] if _is_patch(node) else [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            names = _targets(node)
            added += _listed(node.value) if "_all_" in names else []
            assigned += names
        elif TYPE_ALIAS and isinstance(node, TYPE_ALIAS):
            assigned.append(ast.unparse(node).split()[1].split("[")[0])
    own = [name for name in [*assigned, *defined] if not name.startswith("_")]
    return list(dict.fromkeys([*own, *added]))


def defined_names(code: str) -> set[str]:
    """All names that code binds at its outermost level: assigned, imported, defined; not by a star import."""
    table = _table(code)
    return set() if table is None else {s.get_name() for s in table.get_symbols() if _binds(s)}


def unbound_names(code: str) -> set[str]:
    """Names that code, functions included, expects in the module without binding them there.

    Builtins are among them, and what `from x import *` may bring: only a fresh process knows those. In a
    notebook's process there are more builtins than a module has.

    Example:
        >>> sorted(unbound_names("def f(a): return a + b + len(c)\\nc = 1"))
        ['b', 'len']
    """
    table = _table(code)
    if table is None:
        return set()
    own, used = defined_names(code), set[str]()
    for inner in _all_tables(table):
        outermost = inner is table
        for symbol in inner.get_symbols():
            if symbol.is_referenced() and (outermost or symbol.is_global()):
                used.add(symbol.get_name())
            if not outermost and symbol.is_declared_global() and symbol.is_assigned():
                own.add(symbol.get_name())
    return used - own - OF_MODULES


def binding_line(code: str, name: str) -> int | None:
    """The first line on which code binds a name; None when it does not."""
    lines = [
        node.lineno
        for node in ast.walk(quiet_parse(code))
        if (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name)
        or (
            isinstance(node, ast.Import | ast.ImportFrom)
            and any((alias.asname or alias.name.split(".")[0]) == name for alias in node.names)
        )
    ]
    return min(lines, default=None)


def uses_of(code: str, names: Iterable[str]) -> dict[str, int]:
    """The first line on which each name is used."""
    wanted, found = set(names), dict[str, int]()
    for node in ast.walk(quiet_parse(code)):
        if isinstance(node, ast.Name) and node.id in wanted:
            found[node.id] = min(node.lineno, found.get(node.id, node.lineno))
    return found


def star_imports(code: str) -> list[str]:
    """Modules of which code takes everything, dots of relative ones included."""
    return [
        "." * node.level + (node.module or "")
        for node in ast.walk(quiet_parse(code))
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    ]


def _is_patch(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a decorator hangs a function on a class."""
    inner = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any((d.attr if isinstance(d, ast.Attribute) else getattr(d, "id", "")) in PATCHES for d in inner)


def _targets(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [
        n.id
        for target in targets
        for n in ast.walk(target)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]


def _listed(value: ast.expr | None) -> list[str]:
    """The names in `['a', b]`."""
    items = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    constants = [i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)]
    return constants if len(constants) == len(items) else [ast.unparse(i).strip("'\"") for i in items]


def _binds(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _table(code: str) -> symtable.SymbolTable | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return symtable.symtable(code, "<module>", "exec")
        except (SyntaxError, ValueError):
            return None


def _all_tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for inner in table.get_children():
        yield from _all_tables(inner)
