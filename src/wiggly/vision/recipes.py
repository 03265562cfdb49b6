"""What the constructors of image loaders share: their options, one `DataBlock`, and the call as text.

In: a target, a splitter, getters and options. Out: `DataLoaders` that know how to reproduce themselves.
Read next: `loaders.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from wiggly.data.block import BlockLike, DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.cache.keeping import CacheKind
from wiggly.data.cache.store import Cache
from wiggly.data.dataset import Getter
from wiggly.data.edits.journal import Journal
from wiggly.data.items import get_image_files
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import Splitter
from wiggly.data.transform import transform_names
from wiggly.errors import DataError
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage

__all__ = [
    "LoaderOptions",
    "OfName",
    "load_pictures",
    "remember",
    "remember_pattern",
    "some_images",
    "target_of_label",
    "target_of_table",
]


class LoaderOptions(TypedDict, total=False):
    """What every constructor takes besides its own arguments.

    Attributes:
        item_tfms: Transforms of one sample.
        batch_tfms: More transforms; wiggly's own join those of one sample in one resampling.
        img_cls: `PILImage` (RGB, the default) or `PILImageBW` (grey).
        edits: A journal of edits, or its path; see `DataBlock`.
        bs: This and the others are explained at `DataBlock.dataloaders`.
    """

    item_tfms: Any
    batch_tfms: Any
    img_cls: type[PILImage]
    edits: str | Path | Journal | None
    bs: int
    val_bs: int | None
    shuffle: bool
    device: str | torch.device | None
    num_workers: int | None
    max_bad: float
    warp_on: str
    cache: CacheKind | Cache | None
    cache_path: str | Path | None
    cache_bytes: int | None


class OfName:
    """`label_func` applied to the name of a path."""

    def __init__(self, label_func: Callable[[str], Any]) -> None:
        self.label_func = label_func

    def __call__(self, item: str | Path) -> Any:
        return self.label_func(Path(item).name)


def load_pictures(
    target: BlockLike,
    splitter: Splitter,
    getters: Sequence[Getter],
    source: Any,
    path: str | Path,
    seed: int | None,
    options: LoaderOptions,
) -> DataLoaders:
    """Loaders of photos with one target; the getters are those of photo and target."""
    rest: dict[str, Any] = {**options}
    block = DataBlock(
        (ImageBlock(rest.pop("img_cls", PILImage)), target),
        getters=getters,
        splitter=splitter,
        item_tfms=rest.pop("item_tfms", None),
        batch_tfms=rest.pop("batch_tfms", None),
        edits=rest.pop("edits", None),
    )
    return block.dataloaders(source, path=path, seed=seed, **rest)


def some_images(files: Sequence[Any], path: str | Path) -> Sequence[Any]:
    """The files; a `DataError` if there are none."""
    if not files:
        raise DataError(
            f"'{path}' must hold images",
            "no file there ends in .jpg, .png or another image suffix",
            "Check the folder; put the photos of each class into a sub-folder of its own.",
        )
    return files


def target_of_table(df: Any, columns: str | int | Sequence[str | int], several: bool) -> BlockLike:
    """The kind of target that a column of a table holds."""
    import narwhals as nw

    if several:
        return MultiCategoryBlock
    frame = nw.from_native(df, eager_only=True)
    if isinstance(columns, str) and columns not in frame.columns:
        return CategoryBlock  # reading the labels will say which columns there are
    position = columns if isinstance(columns, int) else list(frame.columns).index(str(columns))
    return RegressionBlock if frame[:, position].dtype.is_float() else CategoryBlock


def target_of_label(label: Any) -> BlockLike:
    """The kind of target that a label is."""
    if isinstance(label, (float, np.floating)):
        return RegressionBlock
    return MultiCategoryBlock if isinstance(label, (list, tuple, set)) else CategoryBlock


def remember(
    dls: DataLoaders, name: str, arguments: dict[str, Any], seed: int | None, options: LoaderOptions
) -> DataLoaders:
    """Writes down the call that made these loaders, if all of it can be written as Python."""
    tfms = {"item_tfms": dls.item_tfms, "batch_tfms": dls.batch_tfms}
    if any(not type(t).__module__.startswith("wiggly.") for given in tfms.values() for t in given):
        return dls
    given = {k: v if k == "fnames" else repr(v) for k, v in arguments.items() if v is not None}
    given |= {k: f"[{', '.join(transform_names(v))}]" for k, v in tfms.items() if v}
    others = {k: v for k, v in {"seed": seed, **options}.items() if k not in tfms and v is not None}
    others |= {k: v.kind for k, v in others.items() if isinstance(v, Cache)}
    others |= {k: str(v.path) for k, v in others.items() if isinstance(v, Journal)}
    others |= {k: str(v) for k, v in others.items() if isinstance(v, Path)}
    given |= {k: v.__name__ if isinstance(v, type) else repr(v) for k, v in others.items()}
    text = ", ".join(re.sub(r"^path=", "", f"{k}={v}") for k, v in given.items())
    dls.remember_call(f"dls = ImageDataLoaders.{name}({text})")
    return dls


def remember_pattern(
    dls: DataLoaders,
    name: str,
    path: str | Path,
    fnames: Sequence[str | Path],
    pat: str,
    valid_pct: float,
    seed: int | None,
    options: LoaderOptions,
) -> DataLoaders:
    """The same for files that a regular expression labels, if they can be listed again."""
    listing = _listing(path, fnames)
    if listing is None:
        return dls
    arguments = {"path": str(path), "fnames": listing, "pat": pat, "valid_pct": valid_pct}
    return remember(dls, name, arguments, seed, options)


def _listing(path: str | Path, fnames: Sequence[str | Path]) -> str | None:
    """The Python that lists these files again, if they are all images below the folder."""
    everything = Path(path).is_dir() and [Path(f) for f in fnames] == get_image_files(path)
    return f"get_image_files({str(path)!r})" if everything else None
