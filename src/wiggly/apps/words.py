"""What every page says: names of labels, how good the model is, what it knows, where things stay.

In: a predictor. Out: HTML and plain text, with everything that came from a bundle escaped. Read next:
`photos.py`, `forms.py`, `liked.py`, which put it around their inputs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from wiggly.apps.model import PageModel
from wiggly.bundle.parts import CategoryOutput, Label, Output, Score
from wiggly.bundle.replies import is_unsure, single
from wiggly.records import Prediction

__all__ = ["alert", "foot", "head", "names_of", "numbers_html", "plain", "score_line", "unsure_line"]

LISTED = 1_000  # classes named at the foot of the page
MOST_METRICS = 3


def names_of(vocab: list[Label]) -> list[str]:
    """Labels as text; those that read alike (`True` and "True") are told apart.

    Example:
        >>> names_of([1, "1", "cat"])
        ['1', "'1'", 'cat']
    """
    times = Counter(map(str, vocab))
    return [str(label) if times[str(label)] == 1 else repr(label) for label in vocab]


def head(predictor: PageModel, items: str) -> str:
    """Title, description and score.

    Args:
        predictor: The model.
        items: What it was scored on, in the plural.
    """
    manifest = predictor.manifest
    description = f"<p>{escape(manifest.description)}</p>" if manifest.description else ""
    score = score_line(manifest.score, items) if manifest.score else _metrics_line(manifest.metrics, items)
    unbroken = escape(score).replace(" %", "&nbsp;%")
    return f'<h1>{escape(manifest.title)}</h1>{description}<p class="score">{unbroken}</p>'


def score_line(score: Score, items: str = "photos") -> str:
    """The validation score in one honest sentence.

    Args:
        score: Of the bundle.
        items: What it was measured on, in the plural.

    Example:
        >>> print(score_line(Score("accuracy", 0.938, 210, (0.897, 0.964), 0.19, "Abyssinian")))
        Right on 93.8 % of 210 photos it had not trained on (95 % interval 89.7 to 96.4 %); always answering
        “Abyssinian” would get 19.0 %.
    """
    low, high = score.interval
    if score.name != "accuracy":
        return (
            f"Off by {plain(score.value)} (root mean square) on {score.n:,} {items} it had not trained on "
            f"(95 % interval {plain(low)} to {plain(high)}); always answering the mean would be off by "
            f"{plain(score.baseline)}."
        ).replace(" %", "\u00a0%")
    return (
        (
            f"Right on {score.value:.1%} of {score.n:,} {items} it had not trained on "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %); "
            f"always answering “{score.baseline_label}” would get {score.baseline:.1%}."
        )
        .replace("%", " %")
        .replace("  %", " %")
    )


def plain(number: float, digits: int = 4) -> str:
    """A number rounded to so many digits, written out.

    Example:
        >>> plain(53412.5), plain(0.04999), plain(-3.0), plain(1e-7)
        ('53,410', '0.04999', '-3', '1e-07')
    """
    if not 1e-4 <= abs(number) < 1e15:
        return f"{number:.{digits}g}"
    places = digits - 1 - math.floor(math.log10(abs(number)))
    text = f"{round(number, places):,.{max(0, places)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unsure_line(outputs: Sequence[Output], found: Prediction) -> str:
    """What a visitor should know where the model takes its own answer for a guess; empty where it does not.

    Args:
        outputs: Of the model.
        found: Its prediction.
    """
    parts = [found] if len(outputs) == 1 else single(found)
    told: list[str] = []
    for output, one in zip(outputs, parts, strict=True):
        if is_unsure(output, one.probs):
            name = f"{output.name}: " if len(outputs) > 1 and isinstance(output, CategoryOutput) else ""
            chance = f"{100 * float(one.probs.max()):.0f}\u00a0%"
            told.append(f"{name}Not sure: maybe {one.decoded} ({chance})")
    return ". ".join(told)


def _metrics_line(metrics: Any, items: str) -> str:
    told = [(name, value) for name, value in metrics.items() if not name.endswith("loss")]
    if not told:
        return "Nobody has measured how often it is right."
    listed = ", ".join(f"{name} {plain(value, 3)}" for name, value in told[:MOST_METRICS])
    return f"On {items} it had not trained on: {listed}."


def numbers_html(names: tuple[str, ...], values: list[float], low: Any, high: Any) -> str:
    """Predicted numbers, each with the range that training had."""
    rows: list[str] = []
    for name, value, least, most in zip(names, values, low, high, strict=True):
        told = f"{escape(name)}; {plain(least)} to {plain(most)} in training"
        rows.append(f"<p><strong>{plain(value, 5)}</strong> <span>{told}</span></p>")
    return "".join(rows)


def alert(text: str) -> str:
    """Words that a visitor should not miss."""
    return f'<p role="alert">{text}</p>'


def foot(predictor: PageModel, what: str, privacy: str) -> str:
    """What the model knows, where things stay, and whence it comes.

    Args:
        predictor: The model.
        what: What it knows the classes of: "whatever the photo shows".
        privacy: A sentence on what is kept.
    """
    names, manifest = names_of(predictor.vocab), predictor.manifest
    more = f", and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    listed = escape(", ".join(names[:LISTED]) + more)
    terms = f" Terms of use: {escape(manifest.licence)}." if manifest.licence else ""
    known = f"<details><summary>It knows {len(names):,} classes{what}</summary><p>{listed}</p></details>"
    return (
        f"{known if names else ''}<p>{privacy}{terms} "
        f"Made with wiggly {escape(manifest.wiggly)} on {escape(manifest.created[:10])}.</p>"
    )
