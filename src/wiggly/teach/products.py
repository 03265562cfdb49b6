"""Matrix product: rows times columns, a convolution written as one, and a real layer's inputs and weights.

In: two matrices, or a learner and the name of one of its layers. Out: their product, cut to what fits a
screen without losing a number. The page computes the same (`web/widgets/src/core/products.ts`). Read next:
`explore.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wiggly.errors import ArgumentError, ModelError
from wiggly.teach.explorable import Explorable
from wiggly.teach.runs import held, passed_through
from wiggly.train.learner import Learner

__all__ = ["LayerProduct", "layer_product", "matrix_product", "patches", "product"]

MOST = 8  # rows and columns the page has room for
ROWS, INPUTS, OUTPUTS = 4, 5, 4  # of a real layer


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row `i` of `a` times column `j` of `b`, added up, for every `i` and `j`.

    Args:
        a: `(n, k)`.
        b: `(k, m)`.

    Returns:
        `(n, m)`.

    Example:
        >>> product(np.array([[1, 2], [3, 4]]), np.array([[1], [-1]]))
        array([[-1],
               [-1]])
    """
    return (a[:, :, None] * b[None, :, :]).sum(1)


def patches(image: np.ndarray, high: int, wide: int) -> np.ndarray:
    """Every window of an image as a row; times a flattened kernel, that is a convolution.

    Args:
        image: `(h, w)`.
        high: Height of the window, in pixels.
        wide: Its width.

    Returns:
        `((h − high + 1)·(w − wide + 1), high·wide)`, left to right, top to bottom.

    Example:
        >>> patches(np.arange(6).reshape(2, 3), 2, 2)
        array([[0, 1, 3, 4],
               [1, 2, 4, 5]])
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (high, wide))
    return windows.reshape(-1, high * wide)


@dataclass(frozen=True)
class LayerProduct:
    """What a layer multiplied for a few real items, cut to the numbers that matter most.

    Attributes:
        inputs: `(n, k)`, the inputs that weigh most in these outputs.
        weights: `(k, m)`, for the outputs that are shown.
        bias: `(m,)`.
        rest: `(n, m)`, what all other inputs add.
        outputs: `(n, m)`, as the layer computed them: `inputs @ weights + rest + bias`.
        n_hidden: How many inputs are in `rest`.
        rows: What each row is.
        columns: What each column is.
    """

    inputs: Tensor
    weights: Tensor
    bias: Tensor
    rest: Tensor
    outputs: Tensor
    n_hidden: int
    rows: list[str]
    columns: list[str]


def layer_product(learn: Learner, name: str) -> LayerProduct:
    """Runs a training batch through the model and keeps what one linear or convolutional layer multiplied.

    Args:
        learn: The learner.
        name: The layer's dotted name, e.g. "head.4"; see `learn.summary()`.

    Raises:
        ModelError: There is no such layer, or it multiplies no matrices.
    """
    layer = learn.get_submodule(name)
    if not isinstance(layer, nn.Linear) and not (isinstance(layer, nn.Conv2d) and layer.groups == 1):
        fitting = [key for key, part in learn.model.named_modules() if isinstance(part, nn.Linear)]
        raise ModelError(
            "the matrix product needs a linear layer, or a convolution without groups",
            f"{name!r} is a {type(layer).__name__}",
            f"Linear layers of this model: {fitting[-4:]}.",
        )
    with held(learn, MOST) as batch:
        inputs, outputs = _seen(learn, layer, batch)
        weights = layer.weight.detach().flatten(1).T  # (k, m)
        bias = torch.zeros(weights.shape[1]) if layer.bias is None else layer.bias.detach()
    matrices = [each.double().cpu() for each in (inputs, weights, bias, outputs)]
    return _cut(learn, matrices, isinstance(layer, nn.Conv2d))


def _seen(learn: Learner, layer: nn.Linear | nn.Conv2d, batch: Any) -> tuple[Tensor, Tensor]:
    """The layer's inputs and outputs for a batch, as matrices: one row per item, or per window."""
    given, made = passed_through(learn, layer, batch)
    if isinstance(layer, nn.Linear):
        return given.flatten(0, -2), made.flatten(0, -2)
    if isinstance(layer.padding, str):
        raise ModelError(
            "a convolution needs its padding as numbers",
            f"it is {layer.padding!r}",
            "Choose another layer, or write its padding in pixels.",
        )
    windows = functional.unfold(
        given[:1], _two(layer.kernel_size), _two(layer.dilation), _two(layer.padding), _two(layer.stride)
    )
    return windows[0].T, made[0].flatten(1).T


def _two(size: tuple[int, ...]) -> tuple[int, int]:
    return size[0], size[1]


def _cut(learn: Learner, matrices: list[Tensor], windows: bool) -> LayerProduct:
    """Rows from the middle (a picture's edge is padding), the most active outputs, the weightiest inputs."""
    inputs, weights, bias, outputs = matrices
    first = max((len(inputs) - ROWS) // 2, 0) if windows else 0
    rows = slice(first, first + ROWS)
    inputs, outputs = inputs[rows], outputs[rows]
    chosen = outputs.abs().mean(0).topk(min(OUTPUTS, weights.shape[1])).indices.sort().values
    weights, bias, outputs = weights[:, chosen], bias[chosen], outputs[:, chosen]
    weight_of_input = (inputs[:, :, None] * weights[None]).abs().sum((0, 2))
    shown = weight_of_input.topk(min(INPUTS, len(weights))).indices.sort().values
    rest = outputs - bias - inputs[:, shown] @ weights[shown]
    vocab = [str(label) for label in getattr(learn.target_block, "vocab", None) or []]
    named = len(vocab) == matrices[1].shape[1]
    return LayerProduct(
        inputs[:, shown],
        weights[shown],
        bias,
        rest,
        outputs,
        len(weights) - len(shown),
        [f"{'window' if windows else 'item'} {first + i + 1}" for i in range(len(inputs))],
        [vocab[i] if named else f"output {i}" for i in chosen.tolist()],
    )


def matrix_product(
    a: Sequence[Sequence[float]] | None = None,
    b: Sequence[Sequence[float]] | None = None,
    learn: Learner | None = None,
    layer: str | None = None,
) -> Explorable:
    """The explorable: the columns of one matrix fall over the rows of the other.

    Args:
        a: A matrix of your own, `(n, k)`, at most 8 × 8; None begins with small whole numbers.
        b: The other one, `(k, m)`.
        learn: Adds what a layer of this learner multiplies for real items.
        layer: That layer's dotted name.

    Raises:
        ArgumentError: The matrices do not fit each other, or the screen.

    Example:
        >>> matrix_product([[1, 2]], [[3], [4]])
        Matrix product: an explorable. ...
    """
    data: dict[str, Any] = {}
    if a is not None or b is not None:
        left, right = np.array(a if a is not None else []), np.array(b if b is not None else [])
        fits = left.ndim == right.ndim == 2 and left.shape[1] == right.shape[0]
        if not fits or not 0 < min(*left.shape, *right.shape) <= max(*left.shape, *right.shape) <= MOST:
            raise ArgumentError(
                f"`a` must be (n, k) and `b` (k, m), each size from 1 to {MOST}",
                f"they are {left.shape} and {right.shape}",
                "Pass two lists of rows; the columns of `a` are as many as the rows of `b`.",
            )
        data = {"a": left, "b": right}
    code: tuple[Any, ...] = (product, patches)
    if learn is not None and layer is not None:
        cut, code = layer_product(learn, layer), (product, layer_product)
        data["own"] = {
            "a": cut.inputs,
            "b": cut.weights,
            "rest": cut.rest,
            "bias": cut.bias,
            "hidden": cut.n_hidden,
            "rows": cut.rows,
            "columns": cut.columns,
            "about": (
                f"What {layer} multiplied for real training items. Of its inputs those {cut.inputs.shape[1]} "
                f"are shown that weigh most here; the other {cut.n_hidden} are added at the end."
            ),
        }
    return Explorable("matrix-product", data, code)
