"""A bundle on labelled pictures: what `wiggly report` scores.

In: a predictor, a folder and how its labels are found. Out: a learner whose validation pictures are those to
score, prepared as the bundle says. Read next: `../interpret/gather.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wiggly.bundle.parts import ImageInput
from wiggly.bundle.pictures import read_preprocessing
from wiggly.bundle.predictor import Predictor
from wiggly.cli.options import DEFAULT_VALID_PCT, LabelOptions, check_labels, valid_folder
from wiggly.data.block import DataBlock
from wiggly.data.blocks import Block, CategoryBlock
from wiggly.data.dataset import Dataset, identity, read_labels
from wiggly.data.items import ColReader, RegexLabeller, as_items, get_image_files, parent_label
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders, Recipe
from wiggly.data.split import GrandparentSplitter, RandomSplitter, Splitter
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.score import Score
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import error_rate
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage, PILImageBW

__all__ = ["same_pictures_warning", "scored_learner"]


class Labelled(NamedTuple):
    """Pictures and how to read each one's file and label."""

    items: Sequence[Any]
    get_file: Callable[[Any], Any]
    get_label: Callable[[Any], Any]
    splitter: Splitter


def scored_learner(predictor: Predictor, folder: Path, options: LabelOptions, everything: bool) -> Learner:
    """A learner that holds the bundle's model, and the pictures to score as its validation part.

    Args:
        predictor: The bundle.
        folder: The labelled pictures.
        options: How labels and split are found.
        everything: Score all pictures, not just those the split leaves for validation.

    Returns:
        A learner without a history: it can validate and interpret.

    Raises:
        ArgumentError: The bundle's model says something else than one label per picture.
        DataError: There are no pictures.
        LabelError: A label is not one of the bundle's.
    """
    taken = predictor.manifest.inputs[0]
    if predictor.manifest.task != "classification" or not isinstance(taken, ImageInput):
        raise ArgumentError(
            "a model is scored here by one label per picture",
            f"{predictor.manifest.title!r} is a model for {predictor.manifest.task}",
            "Score it in Python: `learn.validate()`, `learn.report()`.",
        )
    _, transforms = read_preprocessing(taken)
    image = ImageBlock(PILImage if taken.channels == 3 else PILImageBW)  # read as in training: equal scores
    labelled = _find(folder, options)
    blocks: tuple[Block, Block] = (image, CategoryBlock(predictor.vocab, sort=False))
    if everything:
        dls = _all_for_validation(labelled, blocks, transforms, folder)
    else:
        block = DataBlock(
            blocks,
            getters=[labelled.get_file, labelled.get_label],
            splitter=labelled.splitter,
            item_tfms=transforms,
        )
        dls = block.dataloaders(labelled.items, seed=options.seed)
    return Learner(dls, predictor.model, metrics=[error_rate], model_config=predictor.manifest.model)


def same_pictures_warning(predictor: Predictor, score: Score) -> str | None:
    """What to say when these cannot be the validation pictures of the training run, else None."""
    then = predictor.manifest.score
    if then is None or (then.n == score.n and abs(then.value - score.accuracy) <= 1 / score.n):
        return None
    return (
        f"in training {then.value:.1%} of {then.n:,} pictures were right, so these are other ones. Some may "
        "have been trained on, and the score be too good. Pass the options of training (--seed, ...), or "
        "--all for a folder that is all new."
    )


def _find(folder: Path, options: LabelOptions) -> Labelled:
    """The pictures of `wiggly train` with the same options, in the same order and split."""
    check_labels(options)
    splitter = RandomSplitter(
        DEFAULT_VALID_PCT if options.valid_pct is None else options.valid_pct, options.seed
    )
    if options.label_csv is not None:
        return Labelled(
            as_items(_read_table(options.label_csv)), ColReader(0, pref=folder), ColReader(1), splitter
        )
    if options.label_regex is not None:
        label = RegexLabeller(options.label_regex)
        return Labelled(get_image_files(folder), identity, lambda file: label(file.name), splitter)
    valid = valid_folder(folder, options)
    if valid is not None:
        files = get_image_files(folder, folders=["train", valid])
        return Labelled(files, identity, parent_label, GrandparentSplitter("train", valid))
    return Labelled(get_image_files(folder), identity, parent_label, splitter)


def _read_table(file: Path) -> Any:
    import pandas

    try:
        return pandas.read_csv(file)
    except (OSError, ValueError) as error:
        rule = "--label-csv must be a table of file names and labels"
        raise DataError(rule, f"'{file}': {error}", "Check the path and the file.") from error


def _all_for_validation(
    labelled: Labelled, blocks: tuple[Block, Block], transforms: Sequence[Any], folder: Path
) -> DataLoaders:
    """Loaders with nothing to train on."""
    everywhere = range(len(labelled.items))
    labels = read_labels(labelled.items, everywhere, labelled.get_label, "label")
    dataset = Dataset(
        labelled.items, [labelled.get_file, labelled.get_label], blocks, 1, transforms, raws=[None, labels]
    )
    recipe = Recipe(
        source=f"'{folder}'", splitter="none: every picture is scored", item_tfms=tuple(transforms)
    )
    return DataLoaders((), DataLoader(dataset, 64, seed=0), blocks=blocks, recipe=recipe)
