"""Controls out of abbreviations: `(0, 5)` is a slider, `True` a box to tick, a list a choice.

In: what a person writes beside an argument's name. Out: `Control`, with the values it can take. The
abbreviations mean what they mean to ipywidgets' `interact`. Read next: `interact.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, cast

import numpy as np

from wiggly.errors import ArgumentError

__all__ = ["Control", "control_of"]

FLOAT_STEP = 0.1  # of a slider over numbers with a fraction, as ipywidgets has it
FINE = 25  # values of a slider that are computed beforehand while the others stay


@dataclass(frozen=True)
class Control:
    """One argument's control.

    Attributes:
        name: The argument.
        kind: What it looks like.
        value: Where it begins: a number, a truth, a text, or a position among the options.
        min: Lower end of a slider.
        max: Its upper end.
        step: Distance between its values.
        options: Names of a choice's values.
        choices: Those values, any objects.
    """

    name: str
    kind: Literal["slider", "check", "choice", "text"]
    value: float | int | bool | str
    min: float | int = 0
    max: float | int = 0
    step: float | int = 1
    options: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is a slider over whole numbers."""
        return self.kind == "slider" and all(isinstance(v, int) for v in (self.min, self.max, self.step))

    def argument(self, value: Any) -> Any:
        """The value the function gets for what the page says."""
        if self.kind == "choice":
            return self.choices[int(value)]
        if self.kind == "slider":
            return int(value) if self.whole else float(value)
        return value

    def values(self, n: int) -> list[Any]:
        """At most `n` values, spread over all it can take; the first one is where it begins."""
        if self.kind == "check":
            return [self.value, not self.value]
        if self.kind == "choice":
            rest = [i for i in range(len(self.options)) if i != self.value]
            return [self.value, *rest[: n - 1]]
        if self.kind == "text":
            return [self.value]
        steps = math.floor((self.max - self.min) / self.step + 1e-9)
        places = sorted({round(i) for i in np.linspace(0, steps, min(n, steps + 1))})
        spread = [self.min + place * self.step for place in places]
        rounded = [value if self.whole else round(value, 10) for value in spread]
        return [self.value, *(value for value in rounded if value != self.value)]

    def config(self) -> dict[str, Any]:
        """What the page needs to draw it."""
        made: dict[str, Any] = {"name": self.name, "kind": self.kind, "value": self.value}
        if self.kind == "slider":
            made |= {"min": self.min, "max": self.max, "step": self.step, "whole": self.whole}
        return made | ({"options": list(self.options)} if self.kind == "choice" else {})


def control_of(name: str, given: Any, default: Any = None) -> Control:
    """The control for an abbreviation.

    Args:
        name: The argument.
        given: A number (a slider around it), `(min, max)` or `(min, max, step)`, a truth, a text, a list of
            choices, or a dict of names to choices.
        default: Where the control begins, if the argument has a default; None leaves it to the abbreviation.

    Raises:
        ArgumentError: It abbreviates nothing.

    Example:
        >>> control = control_of("a", (0, 5))
        >>> control.kind, control.value, control.step
        ('slider', 2, 1)
    """
    if isinstance(given, bool | np.bool_):
        return Control(name, "check", bool(given if default is None else default))
    if isinstance(given, str):
        return Control(name, "text", given if default is None else str(default))
    if isinstance(given, Real):
        return _around(name, given)
    if isinstance(given, tuple) and _is_range(cast("tuple[Any, ...]", given)):
        return _between(name, cast("tuple[Any, ...]", given), default)
    if isinstance(given, Mapping):
        items = cast("Mapping[Any, Any]", given)
        return _choice(name, [str(key) for key in items], list(items.values()), default)
    if isinstance(given, Iterable):
        choices = list(cast("Iterable[Any]", given))
        return _choice(name, [str(each) for each in choices], choices, default)
    raise ArgumentError(
        f"the control of `{name}` must be a number, a range, a truth, a text or choices",
        f"it is {given!r}",
        f"Write e.g. {name}=1.5, {name}=(0, 5), {name}=True or {name}=['one', 'two'].",
    )


def _is_range(given: tuple[Any, ...]) -> bool:
    return len(given) in (2, 3) and all(isinstance(v, Real) for v in given)


def _around(name: str, value: Real) -> Control:
    """A slider from minus the value to three times it, which is what ipywidgets makes of a single number."""
    whole = isinstance(value, Integral)
    number = int(value) if whole else float(value)
    low, high = (0, 1) if number == 0 else sorted((-number, 3 * number))
    return Control(
        name,
        "slider",
        number,
        low if whole else float(low),
        high if whole else float(high),
        1 if whole else FLOAT_STEP,
    )


def _between(name: str, given: tuple[Any, ...], default: Any) -> Control:
    whole = all(isinstance(v, Integral) for v in given)
    kind = int if whole else float
    low, high = kind(given[0]), kind(given[1])
    step = kind(given[2]) if len(given) == 3 else kind(1 if whole else FLOAT_STEP)
    if not (low < high and step > 0):
        raise ArgumentError(
            f"the range of `{name}` must go up, in steps above 0",
            f"it is {given}",
            f"Write {name}=(smallest, largest) or {name}=(smallest, largest, step).",
        )
    middle = kind(low + (high - low) / 2)
    if len(given) == 3:
        middle = kind(low + int((middle - low) / step) * step)
    value = middle if default is None else min(max(kind(default), low), high)
    return Control(name, "slider", value, low, high, step)


def _choice(name: str, names: Sequence[str], choices: list[Any], default: Any) -> Control:
    if not choices:
        raise ArgumentError(f"`{name}` needs choices", "there are none", f"Write {name}=['one', 'two'].")
    at = next((i for i, each in enumerate(choices) if default is not None and each is default), None)
    if at is None:
        at = choices.index(default) if default is not None and default in choices else 0
    return Control(name, "choice", at, options=tuple(names), choices=tuple(choices))
