"""What a learner's parts are called in `model.json`, or an error that says which part cannot travel as data.

In: a trained learner. Out: the fields of a `Manifest`. Read next: `export.py`, which writes them.
"""

from __future__ import annotations

import math
import platform
import sys
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from wiggly.bundle.manifest import CategoryOutput, ImageInput, Score, Step
from wiggly.bundle.predictor import preprocess, read_preprocessing
from wiggly.data.base import brought_transforms
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock
from wiggly.data.dataset import Dataset
from wiggly.data.transform import Transform, is_active, transform_names
from wiggly.errors import BadItemsError, BundleError
from wiggly.interpret.score import score_against
from wiggly.vision.augment import Normalize
from wiggly.vision.blocks import ImageBlock

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = [
    "describe_input",
    "describe_model",
    "describe_output",
    "last_metrics",
    "measure_score",
    "measured_metrics",
    "versions",
    "wiggly_version",
]

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "opencv-python-headless", "safetensors")


def describe_input(learn: Learner) -> ImageInput:
    """The image the model takes and the validation side of its transforms.

    Raises:
        BundleError: The input is no single image, or a transform is a function of the user's.
    """
    blocks = learn.dls.input_blocks
    if len(blocks) != 1 or not isinstance(blocks[0], ImageBlock):
        raise BundleError(
            "a bundle needs loaders with one ImageBlock as their input",
            f"these have {[block.name for block in blocks] or 'no blocks'}",
            "Build them with `ImageDataLoaders` or a `DataBlock(blocks=(ImageBlock, CategoryBlock), ...)`.",
        )
    if blocks[0].stored_channels is not None:
        raise BundleError(
            "a bundle needs pictures in colour or grey",
            f"the ImageBlock reads {blocks[0].stored_channels} channels as they are stored",
            "Such inputs cannot be exported yet: keep the weights with `learn.save`.",
        )
    loader = learn.dls.valid
    of_targets = brought_transforms(learn.dls.target_blocks)  # a picture alone has no use for them
    steps: list[Step] = []
    for transform in (*loader.dataset.item_tfms, *loader.batch_tfms):
        if transform in of_targets or isinstance(transform, Normalize):  # the model has the statistics
            continue
        if is_active(transform, train=False):
            steps.append(_describe_transform(transform))
    channels = blocks[0].channels
    described = ImageInput(kind="image", channels=channels, size=None, preprocessing=tuple(steps))
    return ImageInput(kind="image", channels=channels, size=_size(described), preprocessing=tuple(steps))


def _describe_transform(transform: Any) -> Step:
    if isinstance(transform, Transform) and type(transform).__module__.startswith("wiggly."):
        return Step(transform.name, transform.arguments())
    raise BundleError(
        "every transform must be one of wiggly's, so that the bundle is data and runs no code",
        f"`{transform_names([transform])[0]}` is one of your own",
        "Replace it by one of `wiggly.vision.augment`, apply it to the files before training, or, if only "
        "training needs it, give it the attribute `split_idx = 0`.",
    )


def _size(described: ImageInput) -> tuple[int, int] | None:
    """Height and width after preprocessing, found by trying two shapes; None where the file decides."""
    block, transforms = read_preprocessing(described)
    wide, tall = (
        preprocess(np.zeros(shape, np.uint8), block, transforms).shape[1:] for shape in [(60, 90), (110, 70)]
    )
    return (int(wide[0]), int(wide[1])) if wide == tall else None


def describe_output(learn: Learner) -> CategoryOutput:
    """The vocabulary and the activation.

    Raises:
        BundleError: The target is not one category.
    """
    blocks = learn.dls.target_blocks
    if (
        len(blocks) != 1
        or not isinstance(blocks[0], CategoryBlock)
        or isinstance(blocks[0], MultiCategoryBlock)
    ):
        raise BundleError(
            "a bundle needs one CategoryBlock as its target, or the blocks of `detection_learner`",
            f"the targets are {[block.name for block in blocks] or 'unknown'}",
            "Other targets cannot be exported yet: keep the weights with `learn.save`.",
        )
    return CategoryOutput(kind="category", vocabulary=tuple(blocks[0].vocab), activation="softmax")


def describe_model(learn: Learner) -> dict[str, Any]:
    """The JSON from which the network is built again.

    Raises:
        BundleError: It is a network of the user's own.
    """
    if learn.model_config is None:
        raise BundleError(
            "a bundle needs a network that can be built again from its name",
            f"`{type(learn.model).__name__}` is one of your own",
            "Use `vision_learner` with the name of a timm or torchvision network; the weights of your own "
            "network can be kept with `learn.save`.",
        )
    return learn.model_config


def measure_score(learn: Learner) -> Score | None:
    """Accuracy beside the constant answer, by one pass over the validation set.

    Returns:
        The score; None, with a warning, when the validation photos cannot be read any more: a trained
        model must not be lost because they have been moved.
    """
    try:
        found = learn.predict_loader(learn.dls.valid)
    except BadItemsError as error:
        warnings.warn(f"exported without a score: {error.received}", stacklevel=3)
        return None
    if found.targets is None or len(found.positions) == 0:
        return None
    vocabulary, usual = learn.dls.vocab, _most_frequent(learn.dls.train.dataset)
    score = score_against(found.targets.numpy(), found.probs.argmax(-1).numpy(), usual)
    low, high = score.interval
    return Score("accuracy", score.accuracy, score.n, (low, high), score.baseline, vocabulary[usual])


def _most_frequent(dataset: Dataset) -> int:
    block = dataset.blocks[dataset.n_inp]
    return int(np.bincount([int(block.encode(block.load(raw))) for raw in dataset.raw_targets]).argmax())


def last_metrics(learn: Learner) -> dict[str, float]:
    """The last line of the training history, without numbers that JSON cannot write."""
    rows, names = (
        learn.recorder.values,
        learn.recorder.metric_names[1:-1],
    )  # without the columns epoch and time
    last = zip(names, rows[-1], strict=True) if rows else ()
    return {name: float(value) for name, value in last if math.isfinite(value)}


def measured_metrics(learn: Learner) -> dict[str, float]:
    """Loss and metrics of the validation set as the learner is now; the last line of its history, with a
    warning, where the photos cannot be read any more."""
    try:
        found = learn.evaluate(learn.dls.valid)
    except BadItemsError as error:
        warnings.warn(f"exported with the metrics of the last epoch: {error.received}", stacklevel=3)
        return last_metrics(learn)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def wiggly_version() -> str:
    """The version of this package, asked of the module: a checkout on the path may not be installed."""
    return str(sys.modules["wiggly"].__version__)


def versions() -> dict[str, str]:
    """The software that predictions depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # OpenCV has several distributions under one module name
            continue
    return found
