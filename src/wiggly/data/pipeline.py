"""`Pipeline`: getters one after the other, as one getter.

In: an item. Out: what the last step makes of it; an error says which step failed on what. Read next:
`block.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wiggly.errors import ArgumentError, LabelError, WigglyError

__all__ = ["Pipeline", "function_name", "read_all"]


class Pipeline:
    """Getters one after the other: each takes what the one before it returned.

    Args:
        funcs: The steps, or one of them.

    Raises:
        ArgumentError: There is no step, or one is not callable.
        LabelError: When called on an item that a step fails on.

    Example:
        >>> Pipeline([str.strip, str.lower])("  Cat ")
        'cat'
    """

    def __init__(self, funcs: Sequence[Callable[[Any], Any]] | Callable[[Any], Any]) -> None:
        self.funcs = list(funcs) if isinstance(funcs, Sequence) else [funcs]
        wrong = [f for f in self.funcs if not callable(f)]
        if wrong or not self.funcs:
            raise ArgumentError(
                "`Pipeline` takes functions of one argument",
                f"one is {wrong[0]!r}" if wrong else "it got none",
                "Pass e.g. Pipeline([ColReader('name'), str.lower]).",
            )

    def __call__(self, item: Any) -> Any:
        value = item
        for step, f in enumerate(self.funcs):
            try:
                value = f(value)
            except (WigglyError, OSError):  # say themselves what is wrong
                raise
            except Exception as error:
                before = "the item" if step == 0 else f"what {function_name(self.funcs[step - 1])} returned"
                raise LabelError(
                    f"step {step + 1} of {self!r} must take {before}",
                    f"on {value!r:.60} it raised {type(error).__name__}: {error}",
                    f"Mend step {step + 1} ({function_name(f)}), or the one before it.",
                ) from error
        return value

    def read_all(self, items: Sequence[Any]) -> list[Any] | None:
        """The values of all items, if the first step can read them at once; else None."""
        values = read_all(self.funcs[0], items, None)
        if values is None or len(self.funcs) == 1:
            return values
        rest = Pipeline(self.funcs[1:])
        return [rest(value) for value in values]

    def __repr__(self) -> str:
        return f"Pipeline([{', '.join(map(function_name, self.funcs))}])"


def read_all(
    getter: Callable[[Any], Any], items: Sequence[Any], positions: Sequence[int] | None
) -> list[Any] | None:
    """The values of many items at once (a column of a table), if this getter can do so; else None.

    Args:
        getter: Any getter.
        items: The items.
        positions: Which of them; None for all.
    """
    whole, choose = getattr(getter, "read_all", None), getattr(items, "subset", None)
    if whole is None or choose is None:
        return None
    return whole(items if positions is None else choose(positions))


def function_name(f: Any) -> str:
    """How messages call a function: `parent_label`, `ColReader('file')`, `a lambda`.

    Example:
        >>> function_name(len), function_name(lambda item: item)
        ('len', 'a lambda')
    """
    name = getattr(f, "__name__", None)
    if name == "<lambda>":
        return "a lambda"
    if name is not None:
        return str(name)
    func = getattr(f, "func", None)  # functools.partial
    if callable(func):
        return f"partial({function_name(func)})"
    shown = repr(f)
    kind = type(f).__name__
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}" if " object at 0x" in shown else shown
