"""The page for ratings: choose what you like, and see what people who liked it liked, too.

In: a predictor of ratings. Out: Gradio components. Read next: `page.py`, which serves it.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from types import ModuleType
from typing import Any, cast

from wiggly.apps.words import alert, foot, head, names_of
from wiggly.bundle.predictor import Predictor
from wiggly.errors import WigglyError
from wiggly.tabular.collab.ranking import Ranking

__all__ = ["liked_page"]

LISTED = 10
LEAST = 20  # ratings an item should have to be proposed, if half of all items have as many


def liked_page(predictor: Predictor, gradio: ModuleType) -> None:
    """Fills the page that is being built."""
    model = cast("Ranking", cast("Any", predictor.model))
    reader: Any = predictor.reader
    what = reader.encoder.cat_names[1]
    values: list[Any] = list(model.items)[1:]
    texts = names_of(values)
    counts = model.i_count[1:]
    least = min(LEAST, int(counts.median()))
    most = max(2, int(counts.max()))
    favourite = texts[int(counts.argmax())]
    gradio.HTML(head(predictor, "ratings"), elem_id="head", padding=False)
    liked = gradio.Dropdown(
        texts, value=[favourite], multiselect=True, label=f"You like ({what})", elem_id="liked"
    )
    few = gradio.Slider(
        1, most, least, step=1, label="Leave out what has fewer ratings than", elem_id="least"
    )
    notice = gradio.HTML(visible=False, elem_id="notice", padding=False)
    answer = gradio.HTML(
        label="People who liked this liked", show_label=True, elem_id="answer", container=True
    )
    asked = _asked(model, gradio, dict(zip(texts, values, strict=True)))
    gradio.on([liked.change, few.release], asked, [liked, few], [answer, notice], api_name="nearest")
    answer.value = asked([favourite], least)[0]
    privacy = "What is chosen goes to the machine that serves this page, and is not kept there."
    gradio.HTML(foot(predictor, "", privacy), elem_id="foot", padding=False)


def _asked(
    model: Ranking, gradio: ModuleType, by_text: dict[str, Any]
) -> Callable[[Any, Any], tuple[Any, Any]]:
    texts = list(by_text)

    def nearest(liked: Any, least: Any) -> tuple[Any, Any]:
        """What is near to all that was chosen."""
        chosen = [by_text[text] for text in liked or () if text in by_text]
        if not chosen:
            return "<p>Choose something.</p>", gradio.HTML(visible=False)
        try:
            found = model.nearest(chosen, LISTED, least=int(least))
        except (WigglyError, TypeError, ValueError) as error:
            return "", gradio.HTML(alert(escape(str(error))), visible=True)
        rows = [
            f"<li>{escape(texts[model.items.o2i[label] - 1])} <span>{cosine:.2f}</span></li>"
            for label, cosine in found
        ]
        said = f"<ol>{''.join(rows)}</ol>" if rows else "<p>Nothing has so many ratings.</p>"
        return said, gradio.HTML(visible=False)

    return nearest
