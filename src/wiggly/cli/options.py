"""The options that several verbs share, and what they build: loaders from a folder, a learner on them.

In: what the user typed. Out: `DataLoaders` and a `Learner`. Read next: `training.py`.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from wiggly.errors import ArgumentError, StorageError

if TYPE_CHECKING:
    from wiggly.data.loaders import DataLoaders
    from wiggly.train.learner import Learner

__all__ = [
    "LabelOptions",
    "ModelOptions",
    "PictureOptions",
    "check_labels",
    "check_target",
    "command_line",
    "default_bundle",
    "fitting_batch",
    "make_learner",
    "make_loaders",
    "valid_folder",
]

#: The words this run was started with, for the report and for going on after Ctrl-C.
command_line: ContextVar[tuple[str, ...]] = ContextVar("command_line", default=())

VALID_NAMES = ("valid", "val", "validation", "test")
DEFAULT_VALID_PCT = 0.2
LARGEST_BATCH = 64
DEFAULT_ARCH = "convnext_tiny"


@Parameter(name="*", group="Labels and split")
@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How the labels of a folder of pictures are found, and which pictures are kept for validation."""

    label_regex: Annotated[
        str | None,
        Parameter(
            help="Find the label in the file name: the first group of this pattern. "
            "Default: the name of the folder a file is in."
        ),
    ] = None
    label_csv: Annotated[
        Path | None,
        Parameter(
            help="Find the labels in this table: file names in the first column, labels in the second."
        ),
    ] = None
    valid_pct: Annotated[
        float | None,
        Parameter(
            help="Share of the pictures, or rows, kept for validation, drawn at random. Default: sub-folders "
            "`train` and `valid` (or `val`) when both exist, else 0.2."
        ),
    ] = None
    seed: Annotated[int, Parameter(help="Decides the split and every random draw.")] = 42


@Parameter(name="*", group="Pictures")
@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """How pictures are fed to the network."""

    size: Annotated[int, Parameter(help="Side in pixels the model sees.")] = 224
    bs: Annotated[
        int | None,
        Parameter(
            help="Pictures, or rows, per training step. Default: 64 pictures, up to 512 rows; fewer when "
            "there are few."
        ),
    ] = None
    flip: Annotated[
        bool, Parameter(help="Mirror pictures at random in training; not for letters or digits.")
    ] = True


@Parameter(name="*", group="Model")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which network is trained, and what it starts from."""

    arch: Annotated[
        str | None,
        Parameter(
            help="For pictures any timm name, or a torchvision one (default: convnext_tiny); for tables mlp "
            "or tabm (default: mlp)."
        ),
    ] = None
    pretrained: Annotated[
        bool,
        Parameter(
            help="Start from weights trained on ImageNet, fetched once; without them start from scratch."
        ),
    ] = True
    weights: Annotated[
        Path | None,
        Parameter(help="Start from this .safetensors file (timm naming); no network is needed then."),
    ] = None


def make_loaders(folder: Path, labels: LabelOptions, pictures: PictureOptions) -> DataLoaders:
    """Loaders of a folder: labels from folders, file names or a table; split by sub-folders or at random."""
    dls = _load(folder, labels, pictures)
    if pictures.bs is not None:
        return dls
    return dls.new(bs=fitting_batch(len(dls.train_ds)), val_bs=LARGEST_BATCH)


def _load(folder: Path, labels: LabelOptions, pictures: PictureOptions) -> DataLoaders:
    from wiggly.data.blocks import CategoryBlock
    from wiggly.data.items import get_image_files
    from wiggly.vision.augment import aug_transforms
    from wiggly.vision.loaders import ImageDataLoaders
    from wiggly.vision.resize import Resize

    check_labels(labels)
    how: dict[str, Any] = {
        "seed": labels.seed,
        "bs": LARGEST_BATCH if pictures.bs is None else pictures.bs,
        "item_tfms": Resize(pictures.size),
        "batch_tfms": aug_transforms(do_flip=pictures.flip),
    }
    valid_pct = DEFAULT_VALID_PCT if labels.valid_pct is None else labels.valid_pct
    if labels.label_csv is not None:
        table = labels.label_csv.resolve()
        return ImageDataLoaders.from_csv(folder, table, valid_pct=valid_pct, y_block=CategoryBlock, **how)
    if labels.label_regex is not None:
        files = get_image_files(folder)
        return ImageDataLoaders.from_name_re(folder, files, labels.label_regex, valid_pct=valid_pct, **how)
    valid = valid_folder(folder, labels)
    if valid is not None:
        return ImageDataLoaders.from_folder(folder, train="train", valid=valid, **how)
    return ImageDataLoaders.from_folder(folder, valid_pct=valid_pct, **how)


def check_labels(options: LabelOptions) -> None:
    """Refuses two ways of finding labels at once.

    Raises:
        ArgumentError: Both a pattern and a table are given.
    """
    if options.label_regex is not None and options.label_csv is not None:
        raise ArgumentError(
            "labels are found in one way only",
            "both --label-regex and --label-csv were given",
            "Leave one of them out.",
        )


def valid_folder(folder: Path, options: LabelOptions) -> str | None:
    """Name of the validation folder beside `train`, unless a share is asked for or there is none."""
    if options.valid_pct is not None or not (folder / "train").is_dir():
        return None
    return next((name for name in VALID_NAMES if (folder / name).is_dir()), None)


def fitting_batch(n_train: int) -> int:
    """Pictures per step when nobody says: a power of two from 8 to 64 that leaves at least ten steps.

    Example:
        >>> fitting_batch(50), fitting_batch(244), fitting_batch(5000)
        (8, 16, 64)
    """
    return min(LARGEST_BATCH, max(8, 1 << max(0, (n_train // 10).bit_length() - 1)))


def make_learner(dls: DataLoaders, options: ModelOptions, path: Path) -> Learner:
    """A learner on the loaders that shows accuracy beside the error rate and keeps its files under `path`."""
    from wiggly.train.metrics.core import accuracy, error_rate
    from wiggly.vision.learner import vision_learner

    return vision_learner(
        dls,
        options.arch or DEFAULT_ARCH,
        pretrained=options.pretrained,
        weights=options.weights,
        metrics=[error_rate, accuracy],
        path=path,
    )


def default_bundle(source: Path) -> Path:
    """`photos.wiggly` in the working folder, for `photos`, `data/photos/` and even `.`; `people.wiggly` for
    `people.csv`."""
    place = source.resolve()
    return Path(f"{(place.stem if place.is_file() else place.name) or 'model'}.wiggly")


def check_target(path: Path, ours: bool, force: bool) -> None:
    """Refuses, before any work is done, a place where a result cannot go or would destroy something.

    Args:
        path: The file that will be written.
        ours: Whether what lies there now is an older result of the same kind, which may be replaced.
        force: Replace it whatever it is.

    Raises:
        ArgumentError: A folder, or somebody else's file, is there.
        StorageError: The folder around it is missing or cannot be written.
    """
    if path.is_dir():
        raise ArgumentError(f"'{path}' must name a file", "it is a folder", "Name a file in it.")
    if path.exists() and not ours and not force:
        raise ArgumentError(
            f"'{path}' must be free or an earlier result of wiggly",
            "another file is there",
            "Choose another name, or pass --force to replace it.",
        )
    if not path.parent.is_dir():
        raise StorageError(
            "the folder of a result must exist",
            f"'{path.parent}' does not",
            f"Make it first: mkdir -p {path.parent}",
        )
    if not os.access(path.parent, os.W_OK):
        raise StorageError(
            "the folder of a result must be writable",
            f"'{path.parent}' is not",
            "Name another one with --out.",
        )
