"""Makes plain Python of a cell: IPython's own lines are put into comments, `from __future__` goes to the top.

In: the code of a cell. Out: code that a module can hold, and what was changed. Read next: `names.py`, which
asks such code what it defines and uses.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

from wiggly.errors import NotebookError

__all__ = ["Plain", "plain_python", "quiet_parse"]

#: Cell magics whose body is for another program. Source: IPython's list of its own.
FOREIGN = frozenset(
    {
        "!",
        "HTML",
        "R",
        "SVG",
        "bash",
        "cmd",
        "cython",
        "file",
        "html",
        "javascript",
        "js",
        "latex",
        "markdown",
    }
    | {"perl", "pypy", "python2", "ruby", "script", "sh", "sql", "svg", "sx", "system", "writefile"}
)
MAGIC_LINE = re.compile(r"\s*(%{1,2}\w|!|\?)|.*\?\s*$")


@dataclass(frozen=True)
class Plain:
    """A cell as plain Python.

    Attributes:
        code: What the module holds.
        future: Names it imported from `__future__`.
        silenced: Lines of IPython that became comments.
    """

    code: str
    future: tuple[str, ...]
    silenced: tuple[str, ...]


def plain_python(code: str, where: str) -> Plain:
    """A cell as plain Python.

    Args:
        code: The cell without its marks.
        where: What messages call the cell.

    Raises:
        NotebookError: It is not Python, even without what only IPython understands.

    Example:
        >>> plain_python("%matplotlib inline\\nx = 1", "cell 3").code
        '# %matplotlib inline\\nx = 1'
    """
    code, silenced = _without_magics(code, where)
    code, future = _without_future(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubtful escapes: the module will warn of them itself
        try:
            compile(code, where, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise _not_python(where, error, code) from error
    return Plain(code.strip("\n").rstrip(), future, tuple(silenced))


def quiet_parse(code: str) -> ast.Module:
    """`ast.parse` without warnings.

    Raises:
        SyntaxError: It is not Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _without_magics(code: str, where: str) -> tuple[str, list[str]]:
    """Puts IPython's lines into comments; the parser says where they are, so strings are left alone."""
    lines, silenced = code.split("\n"), list[str]()
    if lines[0].startswith("%%"):
        name = lines[0][2:].split()[0] if lines[0][2:].split() else ""
        if name in FOREIGN:
            raise NotebookError(
                "an exported cell must be Python",
                f"{where} is for another program: it begins with `{lines[0]}`",
                "Take the `#| export` off this cell.",
            )
        silenced.append(lines.pop(0))
    done: set[int] = set()
    while (fault := _fault(lines)) is not None:
        number = fault.lineno or 0
        if number in done or not (0 < number <= len(lines) and MAGIC_LINE.match(lines[number - 1])):
            break
        done.add(number)
        silenced.append(lines[number - 1].strip())
        _silence(lines, number - 1)
    return "\n".join(lines), silenced


def _fault(lines: list[str]) -> SyntaxError | None:
    try:
        quiet_parse("\n".join(lines))
    except SyntaxError as error:
        return error
    except ValueError:  # a null byte; the compiler will complain of it
        return None
    return None


def _silence(lines: list[str], start: int) -> None:
    """Makes a comment of a line and of those it goes on in; inside a block a `pass` keeps the block whole."""
    end = start
    while lines[end].rstrip().endswith("\\") and end + 1 < len(lines):
        end += 1
    for i in range(start, end + 1):
        text = lines[i].lstrip()
        indent = lines[i][: len(lines[i]) - len(text)]
        lines[i] = f"{indent}pass  # {text}" if indent and i == start else f"{indent}# {text}"


def _without_future(code: str) -> tuple[str, tuple[str, ...]]:
    """Takes out `from __future__ import ...`, which a module may have at its top only."""
    try:
        tree = quiet_parse(code)
    except (SyntaxError, ValueError):
        return code, ()
    lines, names = code.split("\n"), list[str]()
    for node in reversed(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.end_lineno:
            alone = [
                n for n in tree.body if n.lineno <= node.end_lineno and (n.end_lineno or 0) >= node.lineno
            ] == [node]
            if alone:
                names += [alias.name for alias in node.names]
                del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines), tuple(sorted(names))


def _not_python(where: str, error: SyntaxError | ValueError, code: str) -> NotebookError:
    reason, line = str(error), ""
    if isinstance(error, SyntaxError):
        lines = code.split("\n")
        reason, number = error.msg, error.lineno or 0
        line = f" in `{lines[number - 1].strip()}`" if 0 < number <= len(lines) else ""
    return NotebookError(
        "an exported cell must be Python that a module can hold",
        f"{where} is not: {reason}{line}",
        "Correct it, or take the `#| export` off this cell.",
    )
