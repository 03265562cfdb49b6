"""`explore`: one door to all explorables, on toy data or on your own run.

In: an explorable's name, or a learner and what of it to look at. Out: the explorable. Read next:
`explorable.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from wiggly.errors import ArgumentError
from wiggly.teach.descent import gradient_descent
from wiggly.teach.explorable import Explorable
from wiggly.teach.products import matrix_product
from wiggly.teach.quadratic import fit_by_hand
from wiggly.teach.relus import sum_of_relus
from wiggly.train.learner import Learner

__all__ = ["EXPLORABLES", "explore"]

EXPLORABLES: dict[str, Callable[[], Explorable]] = {
    "fit-by-hand": fit_by_hand,
    "gradient-descent": gradient_descent,
    "matrix-product": matrix_product,
    "sum-of-relus": sum_of_relus,
}


def explore(what: str | Learner, part: str = "gradient-descent") -> Explorable:
    """Something to play with: an idea on toy data, or the same idea on your own run.

    Args:
        what: An explorable's name ("sum of relus", "gradient descent", "fit by hand", "matrix product"), or a
            learner.
        part: Of a learner: "gradient descent" for its loss over two of its parameters, or the dotted name of
            a linear or convolutional layer ("head.4") for what that layer multiplies.

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
        name = _plain(what)
        if name not in EXPLORABLES:
            raise ArgumentError(
                "`explore` needs the name of an explorable, or a learner",
                f"there is none named {what!r}",
                f"They are: {', '.join(each.replace('-', ' ') for each in EXPLORABLES)}.",
            )
        return EXPLORABLES[name]()
    if _plain(part) == "gradient-descent":
        return gradient_descent(what)
    return matrix_product(learn=what, layer=part)


def _plain(name: str) -> str:
    return "-".join(name.lower().replace("-", " ").split())
