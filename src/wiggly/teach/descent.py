"""Gradient descent on two parameters: toy losses, and the real loss of a learner over two of its own.

In: a learner and the names of two numbers in it, or nothing. Out: the loss and its gradient on a grid, one
step of SGD with momentum. The page computes the same (`web/widgets/src/core/descent.ts`). Read next:
`products.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.teach.explorable import Explorable
from wiggly.teach.runs import held, loss_of, parameter
from wiggly.train.learner import Learner

__all__ = ["TOY_LOSSES", "LossGrid", "gradient_descent", "loss_grid", "sgd_step"]

Pair = tuple[float, float]
# The loss rises by 2 this many widths 1/sqrt(curvature) away from the bottom of a parabola.
RISE = 2.0
SMALLEST, LARGEST = 1e-3, 50.0  # how far the map may reach each way, in units of the parameter
LINE_X = (-1.6, -1.2, -0.9, -0.5, -0.2, 0.1, 0.4, 0.8, 1.1, 1.5)
LINE_Y = (-1.9, -0.7, -0.8, -0.1, 0.5, 0.3, 1.2, 1.3, 2.1, 2.0)


def bowl(a: Tensor, b: Tensor) -> Tensor:
    """As steep in every direction."""
    return a**2 + b**2


def valley(a: Tensor, b: Tensor) -> Tensor:
    """Twenty times steeper across than along, and turned."""
    return 2 * (0.6 * a + 0.8 * b) ** 2 + 0.1 * (0.8 * a - 0.6 * b) ** 2


def line(a: Tensor, b: Tensor) -> Tensor:
    """The mean square error of the line `a·x + b` through ten points."""
    errors = [a * x + b - y for x, y in zip(LINE_X, LINE_Y, strict=True)]
    return torch.stack(errors).square().mean(0)


def hills(a: Tensor, b: Tensor) -> Tensor:
    """Two valleys, one deeper than the other."""
    return 0.6 * (a**2 - 1) ** 2 + 0.5 * (b - 0.5 * a) ** 2 + 0.3 * a + 0.5


TOY_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bowl": bowl,
    "valley": valley,
    "line": line,
    "hills": hills,
}


def sgd_step(at: Pair, velocity: Pair, gradient: Pair, lr: float, momentum: float) -> tuple[Pair, Pair]:
    """One step of gradient descent with momentum, as `torch.optim.SGD` takes it.

    Args:
        at: The two parameters before.
        velocity: What is left of earlier gradients; (0, 0) at first.
        gradient: The slope of the loss along each parameter.
        lr: Learning rate.
        momentum: Share of the velocity that is kept, 0 to 1.

    Returns:
        Parameters and velocity after.

    Example:
        >>> sgd_step((1.0, 0.0), (0.0, 0.0), (2.0, -4.0), lr=0.25, momentum=0.0)
        ((0.5, 1.0), (2.0, -4.0))
    """
    a, b = (momentum * v + g for v, g in zip(velocity, gradient, strict=True))
    return (at[0] - lr * a, at[1] - lr * b), (a, b)


@dataclass(frozen=True)
class LossGrid:
    """The loss of one batch for many values of two parameters, all else as it is.

    Attributes:
        first: Values of the first parameter, `(k,)`.
        second: Values of the second, `(k,)`.
        loss: The loss, `(k, k)`, first axis the first parameter.
        slope_first: Its derivative by the first parameter.
        slope_second: Its derivative by the second.
        names: What the two are called.
        start: Where they are now.
        n_items: Items in the batch.
    """

    first: Tensor
    second: Tensor
    loss: Tensor
    slope_first: Tensor
    slope_second: Tensor
    names: tuple[str, str]
    start: Pair
    n_items: int


def loss_grid(
    learn: Learner, parameters: Sequence[str] | None = None, size: int = 21, n_items: int = 64
) -> LossGrid:
    """The learner's real loss over two of its parameters, by running it at every point of a grid.

    The model is in evaluation mode, so dropout and batch statistics do not blur the map; afterwards weights,
    modes and random generators are as they were.

    Args:
        learn: The learner.
        parameters: Two numbers of the model, e.g. `["head.4.weight[0, 3]", "head.4.bias[0]"]`; None takes the
            two with the steepest slopes in the last weight matrix.
        size: Points each way, 5 to 101; the model runs `size²` times.
        n_items: Items of the batch at most.

    Raises:
        ArgumentError: `size` or `parameters` cannot be used.
        ModelError: There is no such part of the model.
    """
    if not 5 <= size <= 101:
        raise ArgumentError("`size` must be from 5 to 101", f"it is {size}", "Leave it out, or pass 21.")
    with held(learn, n_items) as batch:
        names = _steepest(learn, batch) if parameters is None else list(parameters)
        if len(names) != 2 or names[0] == names[1]:
            raise ArgumentError(
                "`parameters` must name two different numbers of the model",
                f"they are {names}",
                'Pass e.g. ["head.4.weight[0, 3]", "head.4.bias[0]"].',
            )
        entries = [_Entry(learn, name) for name in names]
        start = entries[0].value, entries[1].value
        spans = [_span(entry, lambda: loss_of(learn, batch)) for entry in entries]
        grids = [torch.linspace(v - s, v + s, size).double() for v, s in zip(start, spans, strict=True)]
        rows = [
            [_loss_and_slopes(entries, (float(a), float(b)), lambda: loss_of(learn, batch)) for b in grids[1]]
            for a in grids[0]
        ]
        values = torch.tensor(rows, dtype=torch.float64)
    loss, slope_first, slope_second = values.unbind(-1)
    return LossGrid(
        grids[0], grids[1], loss, slope_first, slope_second, (names[0], names[1]), start, len(batch)
    )


class _Entry:
    """One number inside a parameter tensor."""

    def __init__(self, learn: Learner, name: str) -> None:
        match = re.fullmatch(r"([\w.-]+)\[([\d,\s]*)\]", name)
        path, inner = (match[1], match[2]) if match else (name, "")
        self.tensor = parameter(learn, path)
        self.index = tuple(int(part) for part in inner.split(",") if part.strip())
        if len(self.index) != self.tensor.dim() or any(
            i >= n for i, n in zip(self.index, self.tensor.shape, strict=True)
        ):
            raise ArgumentError(
                "a number of the model is named by its parameter and its place in it",
                f"{name!r} does not fit the shape {tuple(self.tensor.shape)}",
                f'Write e.g. "{path}[{", ".join("0" * self.tensor.dim())}]".',
            )

    @property
    def value(self) -> float:
        return float(self.tensor.detach()[self.index])

    def set(self, value: float) -> None:
        with torch.no_grad():
            self.tensor[self.index] = value


def _loss_and_slopes(
    entries: list[_Entry], at: Sequence[float], loss: Callable[[], Tensor]
) -> tuple[float, ...]:
    for entry, value in zip(entries, at, strict=True):
        entry.set(value)
    tensors = list({id(entry.tensor): entry.tensor for entry in entries}.values())
    with torch.enable_grad():
        needed = [tensor.requires_grad for tensor in tensors]
        for tensor in tensors:
            tensor.requires_grad_(True)
        value = loss()
        slopes = torch.autograd.grad(value, tensors)
        for tensor, before in zip(tensors, needed, strict=True):
            tensor.requires_grad_(before)
    by_tensor = {id(tensor): slope for tensor, slope in zip(tensors, slopes, strict=True)}
    return float(value.detach()), *(float(by_tensor[id(entry.tensor)][entry.index]) for entry in entries)


def _span(entry: _Entry, loss: Callable[[], Tensor]) -> float:
    """How far the map goes each way: until a parabola would have risen by `RISE`, or has turned."""
    here, tiny = entry.value, 0.01 * max(abs(entry.value), 0.1)
    slopes = [_loss_and_slopes([entry], (value,), loss)[1] for value in (here - tiny, here, here + tiny)]
    entry.set(here)
    curvature = (slopes[2] - slopes[0]) / (2 * tiny)
    if not curvature > 1e-9:
        return 10 * max(abs(here), 0.1)
    reach = max(math.sqrt(2 * RISE / curvature), 1.5 * abs(slopes[1]) / curvature)
    return min(max(reach, SMALLEST), LARGEST)


def _steepest(learn: Learner, batch: Any) -> list[str]:
    """The two numbers of the last weight matrix along which the loss changes most."""
    matrices = [(name, p) for name, p in learn.model.named_parameters() if p.dim() == 2]
    if not matrices:
        raise ArgumentError(
            "`parameters` is needed for a model without a linear layer",
            "it has no matrix of weights",
            'Pass two names, e.g. ["0.weight[0, 0, 1, 1]", "0.bias[0]"].',
        )
    name, weight = matrices[-1]
    before = weight.requires_grad
    weight.requires_grad_(True)
    with torch.enable_grad():
        slope = torch.autograd.grad(loss_of(learn, batch), weight)[0].abs()
    weight.requires_grad_(before)
    places = slope.flatten().topk(2).indices.tolist()
    return [f"{name}[{i // slope.shape[1]}, {i % slope.shape[1]}]" for i in places]


def gradient_descent(
    learn: Learner | None = None,
    parameters: Sequence[str] | None = None,
    size: int = 21,
    n_items: int = 64,
) -> Explorable:
    """The explorable: a ball on a map of the loss, its gradient, learning rates too low, good and too high.

    Args:
        learn: Adds a map of this learner's own loss over two of its parameters.
        parameters: Which two; see `loss_grid`.
        size: Points of that map each way.
        n_items: Items of the batch it is measured on, at most.

    Example:
        >>> gradient_descent()
        Gradient descent: an explorable. ...
    """
    code = (sgd_step, *TOY_LOSSES.values()) if learn is None else (sgd_step, loss_grid)
    if learn is None:
        return Explorable("gradient-descent", code=code)
    grid = loss_grid(learn, parameters, size, n_items)
    about = (
        f"The real loss of your model on {grid.n_items} training items, run at {size}×{size} values of two "
        "of its numbers; between them it is blended. One number alone moves it little: rates are high here."
    )
    own = {
        "grid": {
            "first": grid.first,
            "second": grid.second,
            "loss": grid.loss,
            "slopeFirst": grid.slope_first,
            "slopeSecond": grid.slope_second,
        },
        "names": grid.names,
        "start": grid.start,
        "about": about,
    }
    return Explorable("gradient-descent", {"own": own}, code)
