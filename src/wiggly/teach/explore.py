"""`explore`: one door to all explorables, on toy data or on your own run.

In: an explorable's name, or a learner and what of it to look at. Out: the explorable. Read next:
`explorable.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from wiggly.errors import ArgumentError
from wiggly.teach.convolution import convolution
from wiggly.teach.crops import random_resized_crop
from wiggly.teach.descent import gradient_descent
from wiggly.teach.explorable import Explorable
from wiggly.teach.gpus import why_gpus
from wiggly.teach.products import matrix_product
from wiggly.teach.quadratic import fit_by_hand
from wiggly.teach.rates import learning_rate_finder
from wiggly.teach.relus import sum_of_relus
from wiggly.teach.softmax import softmax_and_cross_entropy
from wiggly.teach.training_step import one_training_step
from wiggly.train.learner import Learner

__all__ = ["EXPLORABLES", "explore"]

EXPLORABLES: dict[str, Callable[[], Explorable]] = {
    "convolution": convolution,
    "fit-by-hand": fit_by_hand,
    "gradient-descent": gradient_descent,
    "learning-rate-finder": learning_rate_finder,
    "matrix-product": matrix_product,
    "one-training-step": one_training_step,
    "random-resized-crop": random_resized_crop,
    "softmax-and-cross-entropy": softmax_and_cross_entropy,
    "sum-of-relus": sum_of_relus,
    "why-gpus": why_gpus,
}


# What can be said of a learner: the function gets the learner, and which item or layer is meant, or None.
OF_A_LEARNER: dict[str, Callable[[Learner, Any], Explorable]] = {
    "convolution": lambda learn, of: convolution(learn=learn, layer=of),
    "gradient-descent": lambda learn, _: gradient_descent(learn),
    "learning-rate-finder": lambda learn, _: learning_rate_finder(learn),
    "one-training-step": lambda learn, _: one_training_step(learn),
    "random-resized-crop": lambda learn, of: random_resized_crop(learn=learn, item=of or 0),
    "softmax-and-cross-entropy": lambda learn, of: softmax_and_cross_entropy(
        learn=learn, item=0 if of is None else of
    ),
}


def explore(what: str | Learner, part: str = "gradient-descent", of: Any = None) -> Explorable:
    """Something to play with: an idea on toy data, or the same idea on your own run.

    Args:
        what: An explorable's name, e.g. "sum of relus", or words of it that no other has, e.g. "relus"; or a
            learner. `wiggly.teach.explore.EXPLORABLES` has all names.
        part: Of a learner: "gradient descent" for its loss over two of its parameters, "training step" for
            all that one step computes, "softmax" for its scores of an item, "learning rate finder" for the
            record of its last `lr_find`, "convolution" for the first layer that sees the picture, "random
            resized crop" for what its training photos lose, or the dotted name of a linear or convolutional
            layer ("head.4") for what that layer multiplies.
        of: For "softmax" the item: its position in the validation set, or a new one, e.g. a path. For
            "random resized crop" the position in the training set, for "convolution" the layer's name.

    Returns:
        The explorable; a notebook shows it, `.save("page.html")` writes a page that needs nothing else.

    Raises:
        ArgumentError: There is no explorable of that name.
        ModelError: The learner has no such layer.

    Example:
        >>> explore("sum of relus")
        Sum of relus: an explorable. ...
    """
    if isinstance(what, str):
        name = _named(what, EXPLORABLES)
        if name is None:
            raise ArgumentError(
                "`explore` needs the name of an explorable, or a learner",
                f"there is none named {what!r}",
                f"They are: {', '.join(each.replace('-', ' ') for each in EXPLORABLES)}.",
            )
        return EXPLORABLES[name]()
    name = _named(part, OF_A_LEARNER)
    if name is not None:
        return OF_A_LEARNER[name](what, of)
    if isinstance(what.get_submodule(part), nn.Conv2d):
        return convolution(learn=what, layer=part)
    return matrix_product(learn=what, layer=part)


def _named(words: str, names: Iterable[str]) -> str | None:
    """The name that is meant: that very one, or the only one with these words in it."""
    wanted = "-".join(words.lower().replace("-", " ").replace("_", " ").split())
    found = [name for name in names if f"-{wanted}-" in f"-{name}-"]
    return wanted if wanted in found else found[0] if len(found) == 1 else None
