"""The page for ratings: choose what you like, and see what people who liked it liked, too.

In: a predictor of ratings. Out: Gradio components. What is near to what is read from the weights, so that no
PyTorch is needed. Read next: `page.py`, which serves it; `../tabular/collab/ranking.py`, for learners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from types import ModuleType
from typing import Any, cast

import numpy as np

from wiggly.apps.model import PageModel
from wiggly.apps.words import alert, foot, head, names_of
from wiggly.bundle.manifest import WEIGHTS
from wiggly.bundle.parts import PairInput
from wiggly.bundle.session.columns import vocab_of
from wiggly.errors import WigglyError

__all__ = ["Likes", "liked_page"]

LISTED = 10
LEAST = 20  # ratings an item should have to be proposed, if half of all items have as many
SHORTEST = 1e-12  # a shorter direction counts as none


class Likes:
    """Which items are liked by the same people.

    Args:
        model: Of ratings.

    Attributes:
        column: What the items are called.
        items: The items.
        counts: How many training ratings each has, int64.
    """

    def __init__(self, model: PageModel) -> None:
        from safetensors.numpy import load

        field = cast("PairInput", model.manifest.inputs[0]).item
        self.column = field.name
        self.items: list[Any] = list(vocab_of(field))[1:]
        weights = load(model.file(WEIGHTS))
        factors = weights["i_weight.weight"][1:].astype(np.float64)  # the first is of unknown items
        lengths = np.linalg.norm(factors, axis=1, keepdims=True)
        self._directions = factors / np.maximum(lengths, SHORTEST)
        self.counts = weights["i_count"][1:]

    def nearest(self, chosen: Sequence[int], n: int, least: int = 1) -> list[tuple[int, float]]:
        """Items whose factors point the way of the mean of those chosen.

        Args:
            chosen: Places of items; at least 1.
            n: At most so many.
            least: Those with fewer training ratings are left out.

        Returns:
            Places with the cosine of the angle between, nearest first; without those chosen.
        """
        mean = self._directions[list(chosen)].mean(0)
        cosines = self._directions @ (mean / max(float(np.linalg.norm(mean)), SHORTEST))
        there = self.counts >= least
        there[list(chosen)] = False
        [places] = there.nonzero()
        order = places[np.argsort(-cosines[places], kind="stable")[:n]]
        return [(int(place), float(cosines[place])) for place in order]


def liked_page(predictor: PageModel, gradio: ModuleType) -> None:
    """Fills the page that is being built."""
    likes = Likes(predictor)
    texts = names_of(likes.items)
    # the lower of the two in the middle
    least = min(LEAST, int(np.sort(likes.counts)[(len(texts) - 1) // 2]))
    most = max(2, int(likes.counts.max()))
    favourite = texts[int(likes.counts.argmax())]
    gradio.HTML(head(predictor, "ratings"), elem_id="head", padding=False)
    liked = gradio.Dropdown(
        texts, value=[favourite], multiselect=True, label=f"You like ({likes.column})", elem_id="liked"
    )
    few = gradio.Slider(
        1, most, least, step=1, label="Leave out what has fewer ratings than", elem_id="least"
    )
    notice = gradio.HTML(visible=False, elem_id="notice", padding=False)
    answer = gradio.HTML(
        label="People who liked this liked", show_label=True, elem_id="answer", container=True
    )
    asked = _asked(likes, gradio, texts)
    gradio.on([liked.change, few.release], asked, [liked, few], [answer, notice], api_name="nearest")
    answer.value = asked([favourite], least)[0]
    privacy = "What is chosen goes to the machine that serves this page, and is not kept there."
    gradio.HTML(foot(predictor, "", privacy), elem_id="foot", padding=False)


def _asked(likes: Likes, gradio: ModuleType, texts: list[str]) -> Callable[[Any, Any], tuple[Any, Any]]:
    by_text = {text: place for place, text in enumerate(texts)}

    def nearest(liked: Any, least: Any) -> tuple[Any, Any]:
        """What is near to all that was chosen."""
        chosen = [by_text[text] for text in liked or () if text in by_text]
        if not chosen:
            return "<p>Choose something.</p>", gradio.HTML(visible=False)
        try:
            found = likes.nearest(chosen, LISTED, least=int(least))
        except (WigglyError, TypeError, ValueError) as error:
            return "", gradio.HTML(alert(escape(str(error))), visible=True)
        rows = [f"<li>{escape(texts[place])} <span>{cosine:.2f}</span></li>" for place, cosine in found]
        said = f"<ol>{''.join(rows)}</ol>" if rows else "<p>Nothing has so many ratings.</p>"
        return said, gradio.HTML(visible=False)

    return nearest
