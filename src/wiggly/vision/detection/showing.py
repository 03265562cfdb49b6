"""What a detector found, for people: a list of labelled boxes, and pictures with boxes on them.

In: a learner and pictures. Out: `Prediction`s with boxes in the pixels of the picture as it was given;
figures. Read next: `learner.py`, whose methods these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from torch import Tensor

from wiggly.data.loader import DataLoader
from wiggly.data.show import grid
from wiggly.errors import DataError, ItemError
from wiggly.records import Prediction
from wiggly.train.predict import collect
from wiggly.vision.detection.found import detections
from wiggly.vision.drawing import class_colours, draw_box, name_boxes
from wiggly.vision.frame import Coordinates, unit_to_pixels

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["draw_detections", "draw_found", "predict_boxes"]

TRUE_COLOUR = "#00c853"


def predict_boxes(learn: Learner, item: Any, min_score: float) -> Prediction:
    """One picture through loader, model and decoding; see `DetectionLearner.predict`."""
    loader = learn.dls.test_dl([item], bs=1, num_workers=0)
    try:
        boxes, labels, scores = (part[0] for part in collect(learn, loader).probs)
    except DataError:
        for name, reason in loader.bad_items.items():
            raise ItemError(name, reason, "Pass a file, an array or a picture that opens.") from None
        raise
    picture = loader.dataset.sample(0, Random(0))[0]
    kept = (scores >= min_score) & (scores > 0)
    found = detections(boxes[kept], labels[kept], scores[kept], picture, learn.dls.vocab)
    return Prediction(found, labels[kept], scores[kept])


def draw_detections(
    learn: Learner,
    loader: Any,
    min_score: float,
    max_n: int,
    shuffle: bool,
    nrows: int | None,
    ncols: int | None,
    figsize: tuple[float, float] | None,
) -> None:
    """The pictures behind `DetectionLearner.show_results`; see there."""
    if isinstance(loader, DataLoader):
        learn.times_shown += 1  # so that every call shows other items, yet a rerun the same ones
        seed = loader.seed + learn.times_shown
        few = DataLoader(
            loader.dataset, max_n, shuffle, batch_tfms=loader.batch_tfms, seed=seed, num_workers=0
        )
        loader = [few.look(max_n)]
    rows = collect(learn, loader, with_input=True, reorder=False)
    images, (boxes, labels, scores) = rows.inputs[0], rows.probs
    n = min(max_n, len(images))
    height, width = images.shape[2:]
    axes = grid(n, nrows, ncols, figsize, aspect=min(max(height / width, 0.25), 4.0))
    for row, axis in enumerate(axes):
        learn.dls.input_blocks[0].draw(learn.dls.input_blocks[0].decode(images[row]), axis)
        shown = (scores[row] >= min_score) & (scores[row] > 0)
        pixels = pixels_of(boxes[row][shown], (height, width))
        names = [learn.dls.vocab[i] for i in labels[row][shown].tolist()]
        draw_found(pixels, names, scores[row][shown].tolist(), axis, learn.dls.vocab)
        if rows.targets:
            draw_true(
                [target[row] for target in rows.targets], (height, width), axis, learn.dls.target_blocks
            )


def pixels_of(boxes: Tensor, size: tuple[int, int]) -> Coordinates:
    """Boxes `(k, 4)` in [-1, 1] in pixels of a picture of `size` (height, width)."""
    return unit_to_pixels(size).points(boxes.double().numpy().reshape(-1, 2)).reshape(-1, 4)


def draw_true(row: Sequence[Tensor], size: tuple[int, int], axes: Any, blocks: Sequence[Any]) -> None:
    """The true boxes of a picture in dashed green, with their labels below; after `draw_found`, which names
    the boxes that are there."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    boxes, labels = blocks[0].decode_on(row[0], size), blocks[1].decode(row[1])
    for box, label in zip(boxes, labels, strict=False):
        left, top, right, bottom = box - 0.5
        outline = Rectangle((left, top), right - left, bottom - top, fill=False)
        outline.set(edgecolor=TRUE_COLOUR, linewidth=1.6, linestyle=(0, (4, 3)), zorder=2)
        axes.add_patch(outline)
        said = axes.text(right, bottom, str(label), fontsize=7, color=TRUE_COLOUR, ha="right", va="bottom")
        said.set(clip_on=True, path_effects=[Stroke(linewidth=1.5, foreground="black"), Normal()])


def draw_found(
    boxes: Coordinates, names: Sequence[Any], scores: Sequence[float], axes: Any, vocab: Any
) -> None:
    """Boxes in pixels on the picture, with label and score, coloured by class."""
    colours = class_colours(len(vocab))
    for box in boxes:
        draw_box(box, axes)
    texts = [f"{name} {score:.0%}" for name, score in zip(names, scores, strict=True)]
    name_boxes(texts, [colours[vocab.o2i[name]] for name in names], axes)
