"""From a learner of boxes to the facts of its report.

In: a trained learner of `detection_learner`. Out: `BoxFacts`. Read next: `box_sections.py`, which writes them
down.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from wiggly.errors import DataError
from wiggly.interpret.detection import DetectionInterpretation, constant_matches
from wiggly.interpret.facts import Phase
from wiggly.interpret.gather import below, data_facts, noun_of, root_of
from wiggly.interpret.pictures import thumbnail
from wiggly.interpret.training import architecture, model_facts, phases, snippet, training_loss, versions
from wiggly.vision.check import DataCheck

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["BoxFacts", "ClassFacts", "WorstBoxes", "gather_boxes"]

WORST = 12  # items with their pictures
PIXELS, BYTES = 360, 40_000  # of one; 12 of them stay under 0.7 MB in base64


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """One class: its true validation boxes and how they are found; averages are NaN without true boxes."""

    label: str
    n: int
    ap: float
    ap50: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class WorstBoxes:
    """One item with many mistakes: its name, boxes missed, boxes that are not there, and its picture as a
    data URI."""

    name: str
    missed: int
    false: int
    picture: str | None


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """All that the report of a detector says; fields of the same name are those of `Facts`.

    Attributes:
        n: Validation items.
        ap: COCO's average precision, mean over overlaps and classes.
        ap50: The same at an overlap of 0.5.
        baseline: AP50 of each class's mean training box, said everywhere; None if it is not known.
        precision: Share of boxes of at least `min_score` that are right.
        recall: Share of true boxes that they find.
        min_score: Boxes with a lower score are left out.
        classes: Each class, hardest first.
        worst: Items with the most mistakes.
    """

    title: str
    subtitle: str
    noun: str
    n: int
    ap: float
    ap50: float
    baseline: float | None
    precision: float
    recall: float
    min_score: float
    classes: Sequence[ClassFacts]
    data: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    phases: Sequence[Phase] = ()
    training_loss: Sequence[tuple[float, float]] = ()
    worst: Sequence[WorstBoxes] = ()
    bad_items: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    model: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    versions: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    snippet: str = ""
    command: str | None = None
    check: DataCheck | None = None

    @property
    def n_boxes(self) -> int:
        """True boxes of the validation items."""
        return sum(each.n for each in self.classes)


def gather_boxes(learn: Learner) -> BoxFacts:
    """Read from a learner of boxes what its report says; its validation set is predicted once.

    Raises:
        ArgumentError: The learner finds no boxes.
        DataError: No validation item could be read.
    """
    found = DetectionInterpretation.from_learner(learn)
    recipe, root = learn.dls.recipe(), root_of(learn)
    source = f"'{root}'" if root else str(recipe["source"])
    precision, recall = found.matches.precision_and_recall(found.min_score)
    constant = constant_matches(found, learn.dls.train)
    rows: list[dict[str, Any]] = found.class_table().to_dict("records")
    return BoxFacts(
        title=f"Detector for {len(rows):,} classes",
        subtitle=", trained on ".join(filter(None, [architecture(learn), source])),
        noun=noun_of(learn),
        n=len(found),
        ap=found.matches.average_precision(),
        ap50=found.matches.average_precision(0.5),
        baseline=None if constant is None else constant.average_precision(0.5),
        precision=precision,
        recall=recall,
        min_score=found.min_score,
        classes=[
            ClassFacts(str(r["class"]), r["boxes"], r["AP"], r["AP50"], r["precision"], r["recall"])
            for r in rows
        ],
        data=data_facts(recipe, source),
        phases=phases(learn),
        training_loss=training_loss(learn),
        worst=[_worst(found, row, root) for row in found.top_mistakes(WORST)],
        bad_items={below(root, name): reason for name, reason in learn.dls.bad_items.items()},
        model=model_facts(learn, recipe),
        versions=versions(learn),
        snippet=snippet(learn, recipe),
        command=getattr(learn, "command", None),
        check=learn.dls.last_check,
    )


def _worst(found: DetectionInterpretation, row: int, root: str) -> WorstBoxes:
    missed, false = found.mistakes(row)
    return WorstBoxes(below(root, found.item_name(row)), len(missed), len(false), _picture(found, row))


def _picture(found: DetectionInterpretation, row: int) -> str | None:
    """The picture with its boxes, drawn without the user's open figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.6), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    try:
        found.draw(row, axes)
    except DataError:  # gone since
        return None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return thumbnail(Image.open(buffer).convert("RGB"), PIXELS, BYTES)
