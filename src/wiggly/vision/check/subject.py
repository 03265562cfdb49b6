"""What is checked: items with their label, side of the split and group, from loaders or from a folder.

In: `DataLoaders`, or a folder and how to read labels. Out: `Subject`. Nothing is opened here. Read next:
`run.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wiggly.data.dataset import Dataset
from wiggly.data.items import TableItems, image_extensions
from wiggly.data.shards.stream import ShardDataset
from wiggly.data.vocab import is_missing, plain_label
from wiggly.errors import ArgumentError, WigglyError
from wiggly.vision.blocks import ImageBlock

if TYPE_CHECKING:
    from wiggly.data.loaders import DataLoaders

__all__ = ["Groups", "Item", "Subject", "from_loaders", "group_reader", "named"]

#: How the group of an item is found: a function of the item, a column of the table, or a pattern whose first
#: group is looked for in the file's name.
Groups = Callable[[Any], Any] | str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One picture with what is known about it.

    Attributes:
        name: How it is called: its path below the root, else its row.
        raw: What the picture is read from; an exception when that is not known.
        labels: Its class, or classes; None without.
        side: "train", "valid", ... or "all".
        group: What must stay on one side (a patient, a video); None for unknown.
        targets: Block and raw value of its other targets: masks, boxes.
    """

    name: str
    raw: Any
    labels: tuple[str, ...] | None = None
    side: str = "all"
    group: str | None = None
    targets: tuple[tuple[Any, Any], ...] = ()


@dataclass(frozen=True)
class Subject:
    """All that is checked.

    Attributes:
        items: The items.
        root: The folder below which all files lie; "" without.
        how: Whether fixes are written for a shell or for Python.
        command: The command that checked this, for fixes that repeat it.
        single: Whether an item has exactly one class.
        vocab: Classes that were named beforehand, or whose folders exist.
        random: Whether the split is drawn at random and can be drawn otherwise.
        unlabelled: Items whose label cannot be found, with the reason.
        left_out: Files of the folder that are not among the items, though they are photos.
        image: The block that reads the pictures; None for photos.
        datasets: Training and validation samples with their transforms; none for a folder.
    """

    items: Sequence[Item]
    root: str = ""
    how: Literal["shell", "python"] = "python"
    command: str = ""
    single: bool = True
    vocab: Sequence[str] = ()
    random: bool = False
    unlabelled: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    left_out: Sequence[str] = ()
    image: ImageBlock | None = None
    datasets: Sequence[Dataset] = ()

    def side_counts(self) -> dict[str, int]:
        """Side to number of items, training first."""
        counts: dict[str, int] = {}
        for item in self.items:
            counts[item.side] = counts.get(item.side, 0) + 1
        return dict(sorted(counts.items(), key=lambda side: side[0] != "train"))

    def class_counts(self, side: str | None = None) -> dict[str, int]:
        """Class to number of items, most frequent first; also 0 for classes named beforehand."""
        counts = dict.fromkeys(self.vocab, 0)
        for item in self.items:
            for label in (item.labels or ()) if side in (None, item.side) else ():
                counts[label] = counts.get(label, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def from_loaders(dls: DataLoaders, groups: Groups = None) -> Subject:
    """The items of both loaders.

    Raises:
        ArgumentError: The loaders were not built from blocks, or their inputs are no pictures.
    """
    sides = {"train": _dataset(dls.train), "valid": _dataset(dls.valid)}
    training = sides["train"]
    image = training.blocks[0]
    if not isinstance(image, ImageBlock):
        raise ArgumentError(
            "`check` looks at pictures",
            f"the first input is {image.describe()}",
            "Check such data in its table.",
        )
    found: list[Item] = []
    for side, dataset in sides.items():
        group_of = group_reader(groups, dataset.items)
        found += [_item(dataset, position, side, group_of) for position in range(len(dataset))]
    root = _root(item.raw for item in found)
    items = [_below(root, item) for item in found]
    labelled = next((item.labels for item in items if item.labels is not None), None)
    target = training.blocks[training.n_inp] if len(training.blocks) > training.n_inp else None
    return Subject(
        items,
        root,
        single=labelled is not None and not _is_multi(training),
        vocab=[str(label) for label in target.vocab or ()]
        if labelled is not None and target is not None
        else (),
        random="Random" in str(dls.recipe()["splitter"]),
        image=image if image.stored_channels is not None else None,
        datasets=tuple(sides.values()),
    )


def _dataset(loader: Any) -> Dataset:
    dataset = getattr(loader, "dataset", None)
    if not isinstance(dataset, Dataset) or isinstance(dataset, ShardDataset):
        raise ArgumentError(
            "`check` needs loaders built by a DataBlock over files, rows or pictures",
            f"the loader reads a {type(dataset).__name__}",
            "Check the folder instead: wiggly data check FOLDER.",
        )
    return dataset


def _item(dataset: Dataset, position: int, side: str, group_of: Callable[[Any], str | None]) -> Item:
    try:
        raw = dataset.raw(position, 0)
    except (WigglyError, OSError) as error:
        raw = error
    name = os.fspath(raw) if isinstance(raw, (str, os.PathLike)) else dataset.item_name(position)
    labels, targets = None, list[tuple[Any, Any]]()
    for k in range(dataset.n_inp, len(dataset.blocks)):
        value = dataset.raw(position, k)
        if _has_classes(dataset.blocks[k]):
            labels = labels or _labels(value)
        else:
            targets.append((dataset.blocks[k], value))
    return Item(name, raw, labels, side, group_of(dataset.items[position]), tuple(targets))


def _has_classes(block: Any) -> bool:
    from wiggly.data.blocks import CategoryBlock

    return isinstance(block, CategoryBlock)


def _is_multi(dataset: Dataset) -> bool:
    values = (
        dataset.raw(0, k)
        for k in range(dataset.n_inp, len(dataset.blocks))
        if _has_classes(dataset.blocks[k])
    )
    return any(isinstance(value, (list, tuple, set)) for value in values)


def _labels(value: Any) -> tuple[str, ...]:
    several = isinstance(value, (list, tuple, set))
    return tuple(str(plain_label(v)) for v in (value if several else [value]) if not is_missing(v))


def group_reader(groups: Groups, items: Any = ()) -> Callable[[Any], str | None]:
    """A function from an item to its group, or None where it has none.

    Raises:
        ArgumentError: A pattern that is none, or has no group.

    Example:
        >>> group_reader(r"(patient\\d+)_")("scans/patient12_003.jpg")
        'patient12'
    """
    if groups is None:
        return lambda item: None
    if callable(groups):
        return lambda item: _text(groups(item))
    if isinstance(items, TableItems):
        from wiggly.data.items import ColReader

        read = ColReader(groups)
        return lambda row: _text(read(row))
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise ArgumentError(
            "`groups` must be a function, a column or a regular expression",
            f"'{groups}' is not: {error}",
            "Mend it.",
        ) from error
    if pattern.groups < 1:
        raise ArgumentError(
            "a pattern as `groups` must have parentheses around what is the group",
            f"'{groups}' has none",
            r"Pass e.g. '(patient\d+)_'.",
        )

    def read_name(item: Any) -> str | None:
        found = pattern.search(Path(item).as_posix() if isinstance(item, (str, os.PathLike)) else str(item))
        return None if found is None else found.group(1)

    return read_name


def _text(value: Any) -> str | None:
    return None if is_missing(value) else str(value)


def named(root: str, items: Iterable[Item]) -> list[Item]:
    """The items, called by their path below the root."""
    return [_below(root, item) for item in items]


def _below(root: str, item: Item) -> Item:
    if not root or not isinstance(item.raw, (str, os.PathLike)):
        return item
    name = Path(os.path.relpath(os.fspath(item.raw), root)).as_posix()
    return Item(name, item.raw, item.labels, item.side, item.group, item.targets)


def _root(raws: Iterable[Any]) -> str:
    folders = {os.path.dirname(os.fspath(raw)) for raw in raws if isinstance(raw, (str, os.PathLike))}
    try:
        return os.path.commonpath(folders) if folders and all(folders) else ""
    except ValueError:  # several drives, or relative beside absolute
        return ""


def is_photo_left_out(name: str) -> bool:
    """Whether a file is a photo of a kind that is not read.

    Example:
        >>> is_photo_left_out("IMG_1.HEIC"), is_photo_left_out("notes.txt")
        (True, False)
    """
    suffix = os.path.splitext(name)[1].lower()
    return suffix in UNREAD and suffix not in image_extensions


# Photos of telephones and cameras that Pillow does not open.
UNREAD = frozenset(
    [".heic", ".heif", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".psd", ".jxl"]
)
