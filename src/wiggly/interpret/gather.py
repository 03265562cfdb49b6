"""From a learner to the facts of its report: predictions, a few pictures read again, the history.

In: a trained Learner. Out: `Facts`. Read next: `training.py`, what it says about model and training.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wiggly.data.dataset import Dataset
from wiggly.data.shards.stream import ShardDataset
from wiggly.errors import DataError, WigglyError
from wiggly.interpret.attribution import heat_maps, overlaid
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.interpret.facts import Error, Facts
from wiggly.interpret.pictures import thumbnail
from wiggly.interpret.record import run_record
from wiggly.interpret.score import calibration_error, score_against
from wiggly.interpret.training import architecture, model_facts, phases, snippet, training_loss, versions
from wiggly.vision.blocks import ImageBlock

if TYPE_CHECKING:
    from torch import Tensor

    from wiggly.train.learner import Learner

__all__ = ["below", "check_predictions", "data_facts", "gather", "noun_of", "root_of", "train_counts"]

WORST = 24  # errors with their pictures
WORST_PIXELS, EXAMPLE_PIXELS = 240, 96
WORST_BYTES, EXAMPLE_BYTES = 24_000, 5_000  # of a JPEG: 24 and 200 of them stay under 2.2 MB in base64
EXAMPLES = 120  # pictures, shared out over the classes: 3 each up to 40 classes
CLASSES_WITH_EXAMPLES = 200
HEAT_PIXELS, HEAT_BYTES = 160, 10_000
BINS = 15  # of the calibration error, as in the paper it comes from
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".heic", ".webp")


def gather(learn: Learner) -> Facts:
    """Read from a learner what its report says.

    Args:
        learn: A learner for one category per item, trained or loaded; its validation set is predicted once.

    Returns:
        The facts.

    Raises:
        ArgumentError: The learner is no classifier of single labels.
        DataError: No validation item could be read.
    """
    found = ClassificationInterpretation.from_learner(learn)
    check_predictions(found.losses)
    actual, predicted = found.targs.numpy(), found.decoded.numpy()
    sure = found.preds.max(dim=1).values.double().numpy()
    known_counts = train_counts(learn.dls.train, len(found.labels))
    # Loaders made outside wiggly do not tell their labels: the most frequent class of the validation set
    # itself then stands in, which is a harder opponent.
    usual = np.bincount(actual, minlength=len(found.labels)) if known_counts is None else known_counts
    recipe, root = learn.dls.recipe(), root_of(learn)
    source = f"'{root}'" if root else str(recipe["source"])
    return Facts(
        title=f"Classifier for {len(found.labels):,} classes",
        subtitle=", trained on ".join(filter(None, [architecture(learn), source])),
        noun=noun_of(learn),
        labels=found.labels,
        majority=int(usual.argmax()),
        score=score_against(actual, predicted, int(usual.argmax())),
        counts=found.confusion_matrix(),
        train_counts=known_counts,
        confidence=float(sure.mean()),
        calibration=calibration_error(sure, predicted == actual, BINS),
        calibration_bins=BINS,
        data=data_facts(recipe, source),
        examples=_examples(learn.dls.train, found),
        phases=phases(learn),
        training_loss=training_loss(learn),
        errors=_errors(found, root),
        bad_items={below(root, name): reason for name, reason in learn.dls.bad_items.items()},
        model=model_facts(learn, recipe),
        versions=versions(learn),
        snippet=snippet(learn, recipe),
        command=getattr(learn, "command", None),
        check=learn.dls.last_check,
        record=run_record(learn, found).text(),
    )


def check_predictions(losses: Tensor) -> None:
    """Refuses a report of a model that has diverged.

    Args:
        losses: Of the validation items.

    Raises:
        DataError: Some are NaN.
    """
    bad = int(losses.isnan().sum())
    if bad:
        raise DataError(
            "a report needs predictions that are numbers",
            f"the model's loss is NaN for {bad:,} of {len(losses):,} validation items",
            "The model has diverged: train it anew with a lower rate, or load a saved state.",
        )


def noun_of(learn: Learner) -> str:
    """What an item is called, in the plural."""
    dataset = _dataset(learn.dls.valid)
    if dataset is None or not isinstance(dataset.blocks[0], ImageBlock):
        return "items"
    return "photos" if _file(dataset, 0).lower().endswith(PHOTO_SUFFIXES) else "images"


def root_of(learn: Learner) -> str:
    """The folder below which all files lie; empty for items that are no files."""
    folders: list[str] = []
    for dataset in filter(None, map(_dataset, learn.dls)):
        if isinstance(dataset, ShardDataset):
            return ""
        files = [_file(dataset, position) for position in range(len(dataset))]
        folders += [os.path.dirname(file) for file in files]  # pathlib: 10 times as long
    try:
        return os.path.commonpath(folders) if all(folders) and folders else ""
    except ValueError:  # several drives, or relative beside absolute
        return ""


def _dataset(loader: Any) -> Dataset | None:
    dataset = getattr(loader, "dataset", None)
    return dataset if isinstance(dataset, Dataset) else None


def _file(dataset: Dataset, position: int) -> str:
    """The picture's file, also where items are rows of a table; empty for what is no file."""
    raw = dataset.raw(position, 0) if isinstance(dataset.blocks[0], ImageBlock) else None
    return str(raw) if isinstance(raw, (str, Path)) else ""


def train_counts(loader: Any, n_classes: int) -> npt.NDArray[np.int64] | None:
    """Training items of each class; None where the loader does not tell."""
    dataset = _dataset(loader)
    if dataset is None:
        return None
    block, counts = dataset.blocks[dataset.n_inp], np.zeros(n_classes, dtype=np.int64)
    for raw, n in Counter(dataset.raw_targets).items():
        counts[int(block.encode(block.load(raw)))] += n
    return counts


def _examples(loader: Any, found: ClassificationInterpretation) -> dict[int, list[str]]:
    """The first few readable training pictures of each class."""
    dataset = _dataset(loader)
    if dataset is None or not isinstance(found.input_block, ImageBlock):
        return {}
    classes = min(len(found.labels), CLASSES_WITH_EXAMPLES)
    each = max(1, min(3, EXAMPLES // classes))
    examples: dict[int, list[str]] = {index: [] for index in range(classes)}
    missing = classes * each
    for position in range(len(dataset)):
        if missing == 0:
            break
        pictures = examples.get(int(dataset.encoded_target(position)))
        if pictures is None or len(pictures) == each:
            continue
        picture = _picture(dataset, position, EXAMPLE_PIXELS, EXAMPLE_BYTES)
        if picture is not None:
            pictures.append(picture)
            missing -= 1
    return examples


def _picture(dataset: Dataset, position: int, size: int, most_bytes: int) -> str | None:
    try:
        return thumbnail(dataset[position][0], size, most_bytes)
    except DataError:  # unreadable: named in `bad_items`, or gone since
        return None


def below(root: str, name: str) -> str:
    """A file's name without the folder that all of them share."""
    return name.removeprefix(root).lstrip("/\\") if root else name


def _errors(found: ClassificationInterpretation, root: str) -> list[Error]:
    wrong = (row for row in found.top_rows() if found.decoded[row] != found.targs[row])
    return [_error(found, row, root) for row in islice(wrong, WORST)]


def _error(found: ClassificationInterpretation, row: int, root: str) -> Error:
    dataset, position = _dataset(found.dl), found.positions[row]
    name, picture = found.item_name(row), None
    if dataset is not None and isinstance(found.input_block, ImageBlock):
        name = below(root, _file(dataset, position) or name)
        picture = _picture(dataset, position, WORST_PIXELS, WORST_BYTES)
    predicted, actual = int(found.decoded[row]), int(found.targs[row])
    return Error(
        name=name,
        actual=found.labels[actual],
        predicted=found.labels[predicted],
        probability=float(found.preds[row, predicted]),
        loss=float(found.losses[row]),
        picture=picture,
        heat=None if picture is None else _heat(found, position),
    )


def _heat(found: ClassificationInterpretation, position: int) -> str | None:
    """A photo with its heat map, one at a time: photos are large."""
    if found.learn is None:
        return None
    try:
        made = heat_maps(found.learn, found.dl, [position])[0]
    except WigglyError:  # a network without a map of features, or the file is gone
        return None
    return thumbnail(overlaid(made), HEAT_PIXELS, HEAT_BYTES)


def data_facts(recipe: Mapping[str, Any], source: str) -> dict[str, str]:
    """The `Data` section: where the items came from, and how they were split."""
    given = {"Source": source, "Split": recipe["splitter"]}
    sizes = [recipe["n_train"], recipe["n_valid"]]
    if None not in sizes:
        given["Size"] = f"{sizes[0]:,} training, {sizes[1]:,} validation"
    edits = recipe.get("edits")
    if edits:
        parts = [f"{edits[name]:,} {name}" for name in ("deleted", "relabelled", "moved") if edits[name]]
        aside = f"; {len(edits['aside']):,} set aside" if edits["aside"] else ""
        given["Edits"] = f"{', '.join(parts) or 'nothing changed'} by '{edits['journal']}'{aside}"
    if recipe["seed"] is not None:
        given["Seed"] = f"{recipe['seed']} (order and random draws)"
    return {name: str(text) for name, text in given.items() if text}
