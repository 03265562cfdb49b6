"""Reads the cells of a marimo notebook, which is a Python file.

In: its text. Out: cells, as marimo shows them: the body of each `@app.cell`, less its closing `return`; each
`@app.function` and `@app.class_definition`; the block under `with app.setup`. marimo need not be installed.
Read next: `reading.py`. Source: files that marimo 0.25 writes.
"""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from pathlib import Path

from wiggly.errors import NotebookError
from wiggly.notebook.reading import Cell

__all__ = ["marimo_cells"]

INDENT = "    "
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def marimo_cells(path: Path, text: str) -> tuple[Cell, ...]:
    """The cells of a marimo notebook.

    Args:
        path: The file, for messages.
        text: Its content.

    Raises:
        NotebookError: It is a Python file that marimo has not written, or no Python at all.

    Example:
        >>> head = "import marimo\\napp = marimo.App()\\n\\n"
        >>> cell = "@app.cell\\ndef _():\\n    x = 1\\n    return (x,)\\n"
        >>> print(marimo_cells(Path("notebook.py"), head + cell)[0].source)
        x = 1
    """
    lines = text.replace("\r\n", "\n").split("\n")
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError) as error:
        raise NotebookError(
            f"'{path}' must be a notebook that marimo wrote",
            f"it is not Python: {error}",
            "Open it in marimo and save it.",
        ) from error
    if not _is_marimo(tree):
        raise NotebookError(
            f"'{path}' must be a notebook: .ipynb, or .py written by marimo",
            "it is a Python file without a `marimo.App`",
            "A module needs no export. To make a notebook of it: `marimo convert`.",
        )
    sources = [source for node in tree.body if (source := _source(node, lines)) is not None]
    return tuple(Cell(i, f"cell-{i}", "code", source) for i, source in enumerate(sources, 1))


def _is_marimo(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("marimo.App(")
        for node in tree.body
    )


def _source(node: ast.stmt, lines: list[str]) -> str | None:
    """What a statement of the file holds as a cell; None when it holds none."""
    if isinstance(node, ast.With) and _is(node.items[0].context_expr, "setup"):
        return _body(lines[node.lineno - 1 : node.end_lineno])
    if isinstance(node, Definition):
        for decorator in node.decorator_list:
            if _is(decorator, "cell") and not isinstance(node, ast.ClassDef):
                last = node.body[-1]
                end = last.lineno - 1 if isinstance(last, ast.Return) else node.end_lineno
                return _body(lines[node.lineno - 1 : end])
            if _is(decorator, "function", "class_definition"):
                return "\n".join(lines[decorator.end_lineno or 0 : node.end_lineno])
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and _is(node.value, "_unparsable_cell")
    ):
        code = node.value.args[0] if node.value.args else None
        return _dedented(str(code.value).split("\n")) if isinstance(code, ast.Constant) else None
    return None


def _is(expression: ast.expr, *names: str) -> bool:
    """Whether an expression is `app.name` or `app.name(...)`."""
    inner = expression.func if isinstance(expression, ast.Call) else expression
    return (
        isinstance(inner, ast.Attribute)
        and inner.attr in names
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "app"
    )


def _body(lines: list[str]) -> str:
    """The lines under a `def` or `with`, whose own line may be broken in several."""
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.NEWLINE:
            return _dedented(lines[token.end[0] :])
    return ""


def _dedented(lines: list[str]) -> str:
    """Lines one level to the left, as marimo does it: strings stay when their text stands at the margin."""
    text = "\n".join(lines)
    plain = textwrap.dedent(text)
    if lines and any(line.strip() and not line.startswith(INDENT) for line in lines):
        fixed = _lines_in_strings(text)
        plain = "\n".join(x if i in fixed else x.removeprefix(INDENT) for i, x in enumerate(lines, 1))
    return plain.strip("\n")


def _lines_in_strings(text: str) -> set[int]:
    """Numbers of the lines that begin inside a string; none of what cannot be read."""
    try:
        tree = ast.parse("if True:\n" + text)
    except SyntaxError:
        return set()
    strings = [n for n in ast.walk(tree) if isinstance(n, ast.Constant | ast.JoinedStr)]
    return {i for n in strings for i in range(n.lineno, n.end_lineno or n.lineno)}
